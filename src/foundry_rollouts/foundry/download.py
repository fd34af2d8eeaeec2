"""The source code of a version, as it was uploaded, and proof that it is."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from foundry_rollouts.errors import UnavailableError, UsageError
from foundry_rollouts.foundry.calls import Call, path_of
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.packaging import Archive

DOWNLOAD_LIMIT = timedelta(minutes=10)


class DamagedDownloadError(UnavailableError):
    """What came is not what the cloud says it sent, or not the version that was asked for."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The code of one version."""

    version: str
    archive: Archive


class Downloads:
    """Source code of versions. Every method raises CloudError; 409 means that the agent is made of an image."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def code(self, agent: str, version: str | None = None) -> Downloaded:
        """Return the code of ``version``, or of the latest. Raises DamagedDownloadError when it is not."""
        call = Call(
            "code.download",
            "GET",
            path_of("agents", agent, "code", action="download"),
            params={"agent_version": version} if version else {},
            headers={"Accept": "application/zip"},
            limit=DOWNLOAD_LIMIT,
        )
        reply = await self._transport.request(call)
        served = reply.headers.get("x-ms-agent-version", "")
        if version is not None and served != version:
            raise DamagedDownloadError(f"asked for version {version} of {agent}, got {served or 'an unknown one'}")
        announced = reply.headers.get("x-ms-code-zip-sha256", "").lower()
        if announced != hashlib.sha256(reply.content).hexdigest():
            raise DamagedDownloadError(f"the code of {agent} does not have the hash that the cloud tells: try again")
        return Downloaded(served, Archive.of(reply.content))


def unpack(archive: Archive, folder: Path) -> list[Path]:
    """Write the files of ``archive`` into ``folder`` and return them. Raises UsageError before it overwrites one."""
    try:
        with ZipFile(BytesIO(archive.data)) as zipped:
            targets = {name: (folder / name).resolve() for name in archive.names}
            outside = [name for name, path in targets.items() if not path.is_relative_to(folder.resolve())]
            there = [name for name, path in targets.items() if path.exists()]
            if outside or there:
                raise UsageError(f"{(outside or there)[0]} would be written over or outside: choose an empty folder")
            for name, path in targets.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(zipped.read(name))
    except BadZipFile as error:
        raise UsageError(f"the archive is damaged: {error}") from error
    return sorted(targets.values())
