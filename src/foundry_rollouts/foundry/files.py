"""Files in the home of a session."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.calls import Body, Call, path_of
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.wire import instant

LIMIT_BYTES = 50 * 1000 * 1000  #: The cloud takes no larger file.
FILE_LIMIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class FileSeen:
    """One entry of a listing."""

    name: str
    size: int
    is_folder: bool
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A path in the home of one session."""

    agent: str
    session: str
    path: str = "/"

    def call(self, operation: str, method: str, *, is_content: bool) -> Call:
        path = path_of("agents", self.agent, "endpoint", "sessions", self.session, "files")
        whole = f"{path}/content" if is_content else path
        return Call(operation, method, whole, params={"path": self.path}, limit=FILE_LIMIT)


class SessionFiles:
    """Files of sessions. Every method raises CloudError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def upload(self, place: Place, content: bytes) -> int:
        """Write ``content`` there, over what there was, and return how many bytes the cloud wrote."""
        if len(content) > LIMIT_BYTES:
            raise UsageError(f"{place.path} has {len(content) / 1e6:.0f} MB, the cloud takes 50")
        call = place.call("files.upload", "PUT", is_content=True)
        call = replace(call, shape=shapes.written())
        reply = await self._transport.request(call.sending(Body(content, "application/octet-stream")))
        written = reply.json.get("bytes_written")
        return len(content) if written is None else int(written)

    async def download(self, place: Place) -> bytes:
        call = place.call("files.download", "GET", is_content=True)
        return (await self._transport.request(call)).content

    async def list(self, place: Place) -> tuple[FileSeen, ...]:
        """Return what lies directly in the folder."""
        call = replace(place.call("files.list", "GET", is_content=False), shape=shapes.files())
        reply = await self._transport.request(call)
        return tuple(_file_seen(entry) for entry in reply.json.get("entries") or ())

    async def delete(self, place: Place, *, recursive: bool = False) -> None:
        """Delete a file, or with ``recursive`` a folder and all in it."""
        call = place.call("files.delete", "DELETE", is_content=False)
        await self._transport.request(call.asking({"recursive": "true"}) if recursive else call)


def _file_seen(entry: Mapping[str, Any]) -> FileSeen:
    return FileSeen(
        name=str(entry.get("name") or ""),
        size=int(entry.get("size") or 0),
        is_folder=bool(entry.get("is_directory") or entry.get("is_dir")),
        modified_at=instant(entry.get("modified_time")),
    )
