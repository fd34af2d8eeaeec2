"""Request bodies that are needed after their answer: kept beside the request, large ones on disk, and read again."""

import tempfile
from pathlib import Path
from typing import IO

from starlette.requests import Request
from starlette.types import Message

_IN_MEMORY_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16


class KeptRequest:
    """A request whose body was read to its end and can be read once more."""

    def __init__(self, request: Request, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, "w+b", dir=str(folder))  # noqa: SIM115
        self._original = request
        self.request = Request(request.scope, self._receive)

    async def keep(self) -> None:
        """Read the body from the caller."""
        async for chunk in self._original.stream():
            self._file.write(chunk)
        self._file.seek(0)

    def close(self) -> None:
        """Let go of the body."""
        self._file.close()

    async def _receive(self) -> Message:
        chunk = self._file.read(_CHUNK_BYTES)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}


async def drained(request: Request) -> None:
    """Read a body to its end and keep nothing: a caller who is cut off while it sends would see no answer."""
    async for _ in request.stream():
        pass
