"""Code uploads: a multipart body of ``metadata`` and ``code``, with the hash of the zip in a header."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from foundry_emulator.bodies import object_of, parsed, refuse_encoding
from foundry_emulator.errors import FoundryError, invalid
from foundry_emulator.kinds import accepted
from foundry_emulator.middleware import Visit
from foundry_emulator.multipart import PartHead, PartSink, declared_charset, is_multipart, read_parts
from foundry_emulator.provisioning import Upload, VersionRequest
from foundry_emulator.routes.requests import checked_metadata, checked_text

MAX_ZIP_BYTES = 250 * 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024 * 1024
_MAX_CHARSET_BYTES = 100
_HASH = "x-ms-code-zip-sha256"
# RFC 7578 4.6: a field of this name gives the charset of the parts that name none.
_CHARSET = "_charset_"


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    definition: dict[str, Any]
    description: str | None = None
    metadata: dict[str, str] | None = None
    draft: bool | None = None
    name: str | None = None


def is_upload(request: Request) -> bool:
    """Tell whether the request carries a multipart body."""
    return is_multipart(request.headers.get("content-type", ""))


def required_header(request: Request, name: str) -> str:
    """Return the one value of a header, without blanks around it; 400 when there is none, or several that differ."""
    values = {value.strip() for value in request.headers.getlist(name)}
    if len(values) > 1:
        raise invalid(f"Header '{name}' is given twice.", name)
    if not values or values == {""}:
        raise invalid(f"Header '{name}' is required.", name)
    return values.pop()


@asynccontextmanager
async def upload_request(visit: Visit, agent: str) -> AsyncIterator[VersionRequest]:
    """Give what a code upload asks for; a zip that no version has taken by the end of the block is thrown away."""
    announced = required_header(visit.request, _HASH)
    refuse_encoding(visit.request)
    with tempfile.NamedTemporaryFile(dir=visit.world.config.folder, prefix="upload-", delete=False) as file:
        try:
            form = _Form(file)
            content_type = visit.request.headers["content-type"]
            await read_parts(content_type, visit.request.stream(), form.open_part)
            file.flush()
            yield _request(form, agent, announced.lower(), declared_charset(content_type))
        finally:
            discard(Path(file.name))


def discard(archive: Path) -> None:
    """Delete a zip that becomes no version."""
    archive.unlink(missing_ok=True)


def _request(form: "_Form", agent: str, announced: str, charset: str | None) -> VersionRequest:
    body = parsed(_Metadata, form.metadata(charset), "metadata")
    if body.name not in (None, agent):
        raise invalid(f"The metadata name '{body.name}' is not the agent's.", "metadata.name")
    upload = form.upload()
    if upload.sha256 != announced:
        raise invalid(f"Header '{_HASH}' does not match the uploaded zip.", _HASH)
    return VersionRequest(
        definition=accepted(body.definition, upload.sha256),
        description=checked_text(body.description),
        metadata=checked_metadata(body.metadata),
        is_draft=body.draft or False,
        upload=upload,
    )


class _Form:
    """The parts of an upload, in whatever order they come: ``metadata`` in memory, ``code`` in a file."""

    def __init__(self, file: "IO[bytes]") -> None:
        self._heads: dict[str, PartHead] = {}
        self._metadata = _Text("metadata", MAX_METADATA_BYTES)
        self._charset = _Text(_CHARSET, _MAX_CHARSET_BYTES)
        self._code = _Code(file)

    def open_part(self, head: PartHead) -> PartSink:
        """Return where the bytes of a part go, or raise the 400 for one that must not be there."""
        sinks: dict[str, PartSink] = {"metadata": self._metadata, "code": self._code, _CHARSET: self._charset}
        if head.name not in sinks:
            raise invalid(f"Unknown part '{head.name}' in the multipart body.", head.name)
        if head.name in self._heads:
            raise invalid(f"The multipart body has a second '{head.name}' part.", head.name)
        if head.name == "code" and not head.filename:
            raise invalid("The 'code' part needs a filename.", "code")
        self._heads[head.name] = head
        return sinks[head.name]

    def metadata(self, charset: str | None) -> dict[str, Any]:
        """Return the JSON object of the metadata part, in the charset that its part, the form or the body declares."""
        if "metadata" not in self._heads:
            raise invalid("The multipart body needs a 'metadata' part with JSON.", "metadata")
        declared = self._heads["metadata"].charset or self._charset.data.decode("latin-1").strip() or charset
        try:
            return object_of(bytes(self._metadata.data), "'metadata' part", declared)
        except FoundryError as error:
            raise invalid(error.message, "metadata") from error

    def upload(self) -> Upload:
        """Return the zip that has arrived."""
        if "code" not in self._heads:
            raise invalid("The multipart body needs a 'code' part with a filename.", "code")
        return self._code.upload()


class _Text:
    """A small part, kept in memory."""

    def __init__(self, name: str, limit: int) -> None:
        self.data = bytearray()
        self._name = name
        self._limit = limit

    def write(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > self._limit:
            raise invalid(f"The '{self._name}' part may have at most {self._limit} bytes.", self._name)


class _Code:
    """The zip, hashed while it is written to disk."""

    def __init__(self, file: "IO[bytes]") -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_ZIP_BYTES:
            raise invalid("The code zip may have at most 250 MB.", "code")
        self._hash.update(data)
        self._file.write(data)

    def upload(self) -> Upload:
        if not self._size:
            raise invalid("The 'code' part is empty.", "code")
        return Upload(Path(self._file.name), self._hash.hexdigest())
