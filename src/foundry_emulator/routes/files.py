"""Files in a session's home: upload, download, list, delete, make a folder, describe one."""

import asyncio
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import FileResponse, JSONResponse, Response

from foundry_emulator.bodies import flag, json_object, parsed, whole_body
from foundry_emulator.errors import conflict, invalid, not_found
from foundry_emulator.identity import refuse_other_users, user_of
from foundry_emulator.middleware import Visit
from foundry_emulator.paging import page
from foundry_emulator.placement import usable_session

MAX_FILE_BYTES = 50 * 1024 * 1024
_PATH_BYTES = 1024
_HOME = "home/session"


class _FolderBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    path: str


async def upload(visit: Visit) -> Response:
    """Write one file, its folders too; 201 with the path and the number of bytes."""
    target = _path(visit, visit.query.get("path", ""))
    data = await whole_body(visit.request, MAX_FILE_BYTES)
    await asyncio.to_thread(_write, target, data)
    return JSONResponse({"path": _shown(visit, target), "bytes_written": len(data)}, 201)


async def download(visit: Visit) -> Response:
    """Answer the bytes of one file."""
    path = _existing(visit)
    if path.is_dir():
        raise invalid("The path is a directory.", "path")
    return FileResponse(path, media_type="application/octet-stream")


async def list_files(visit: Visit) -> Response:
    """Answer one page of a folder's immediate children, under ``entries``."""
    folder = _path(visit, visit.query.get("path", ""), is_root_allowed=True)
    if not folder.is_dir():
        if folder != _home(visit):
            raise not_found(f"No directory '{visit.query.get('path')}'", "path")
        children: list[Path] = []
    else:
        children = sorted(folder.iterdir())
    query = {"order": "asc", **visit.query}
    envelope = page(children, query, lambda child: child.name, _entry)
    envelope["entries"] = envelope.pop("data")
    return JSONResponse({"path": _shown(visit, folder), **envelope})


async def delete(visit: Visit) -> Response:
    """Delete a file, or a folder: with all in it only by ``recursive=true``."""
    path = _existing(visit)
    is_recursive = flag(visit.query, "recursive")
    if path.is_dir() and not is_recursive and any(path.iterdir()):
        raise conflict("The directory is not empty", "directory_not_empty")
    await asyncio.to_thread(_remove, path)
    return Response(status_code=204)


async def make_folder(visit: Visit) -> Response:
    """Make a folder and those above it."""
    body = parsed(_FolderBody, await json_object(visit.request))
    target = _path(visit, body.path)
    if target.is_file():
        raise conflict(f"'{body.path}' is a file")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise invalid(f"The directory cannot be made: {error.strerror}.", "path") from error
    return JSONResponse({"path": _shown(visit, target)}, 201)


async def look(visit: Visit) -> Response:
    """Answer what one path is."""
    return JSONResponse(_entry(_existing(visit)))


def _existing(visit: Visit) -> Path:
    path = _path(visit, visit.query.get("path", ""))
    if not path.exists():
        raise not_found(f"No file '{visit.query.get('path')}'", "path")
    return path


def _path(visit: Visit, given: str, *, is_root_allowed: bool = False) -> Path:
    home = _home(visit)
    if "\0" in given or len(given.encode()) > _PATH_BYTES or any(len(each.encode()) > 255 for each in given.split("/")):
        raise invalid("The path holds a NUL or is too long.", "path")
    relative = PurePosixPath(given.strip("/"))
    if relative.is_relative_to(_HOME):
        relative = relative.relative_to(_HOME)
    path = (home / relative).resolve()
    if not path.is_relative_to(home) or (path == home and not is_root_allowed):
        raise invalid(f"'{given}' is not a path in the session's home.", "path")
    return path


def _home(visit: Visit) -> Path:
    world = visit.world
    agent = world.state.agent(visit.agent)
    refuse_other_users(usable_session(world, visit.session), user_of(visit.request, agent))
    return world.factory.home(agent.guid, visit.session.id).resolve()


def _shown(visit: Visit, path: Path) -> str:
    relative = path.relative_to(_home(visit)).as_posix()
    return "" if relative == "." else relative


def _entry(path: Path) -> dict[str, Any]:
    found = path.stat()
    is_directory = path.is_dir()
    return {
        "name": path.name,
        "size": 0 if is_directory else found.st_size,
        "is_directory": is_directory,
        "is_dir": is_directory,
        "modified_time": int(found.st_mtime),
    }


def _write(target: Path, data: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except OSError as error:
        raise invalid(f"The file cannot be written: {error.strerror}.", "path") from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
