"""Code uploads: a multipart body of ``metadata`` and ``code``, with the hash of the zip in a header."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from foundry_emulator.bodies import object_of, parsed
from foundry_emulator.errors import invalid
from foundry_emulator.kinds import accepted
from foundry_emulator.middleware import Visit
from foundry_emulator.provisioning import Upload, VersionRequest
from foundry_emulator.routes.requests import checked_metadata, checked_text

MAX_ZIP_BYTES = 250 * 1024 * 1024
_HASH = "x-ms-code-zip-sha256"
_CHUNK = 1 << 20


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    definition: dict[str, Any]
    description: str | None = None
    metadata: dict[str, str] | None = None
    draft: bool | None = None
    name: str | None = None


def is_upload(request: Request) -> bool:
    """Tell whether the request carries a multipart body."""
    return request.headers.get("content-type", "").startswith("multipart/form-data")


async def upload_request(visit: Visit, agent: str) -> VersionRequest:
    """Return what a code upload asks for; the hash in the header must be that of the zip."""
    announced = visit.request.headers.get(_HASH)
    if not announced:
        raise invalid(f"Header '{_HASH}' is required.", _HASH)
    form = await _form(visit.request)
    try:
        body = parsed(_Metadata, object_of(_text(form)), "metadata")
        if body.name not in (None, agent):
            raise invalid(f"The metadata name '{body.name}' is not the agent's.", "metadata.name")
        upload = await _stored(_zip(form), visit.world.config.folder)
    finally:
        await form.close()
    if upload.sha256 != announced.lower():
        discard(upload)
        raise invalid(f"Header '{_HASH}' does not match the uploaded zip.", _HASH)
    return VersionRequest(
        definition=accepted(body.definition, upload.sha256),
        description=checked_text(body.description),
        metadata=checked_metadata(body.metadata),
        is_draft=body.draft or False,
        upload=upload,
    )


def discard(upload: Upload) -> None:
    """Forget a zip that becomes no version."""
    upload.file.unlink(missing_ok=True)


async def _form(request: Request) -> FormData:
    try:
        form = await request.form(max_files=1, max_fields=1)
    except HTTPException as error:
        raise invalid(f"The multipart body cannot be read: {error.detail}") from error
    unknown = set(form) - {"metadata", "code"}
    if unknown:
        await form.close()
        raise invalid(f"Unknown part '{min(unknown)}' in the multipart body.", min(unknown))
    return form


def _text(form: FormData) -> str:
    metadata = form.get("metadata")
    if not isinstance(metadata, str):
        raise invalid("The multipart body needs a 'metadata' part with JSON.", "metadata")
    return metadata


def _zip(form: FormData) -> UploadFile:
    code = form.get("code")
    if not isinstance(code, UploadFile):
        raise invalid("The multipart body needs a 'code' part with a filename.", "code")
    return code


async def _stored(code: UploadFile, folder: Path) -> Upload:
    digest = hashlib.sha256()
    size = 0
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", delete=False) as file:
        while chunk := await code.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
    if size > MAX_ZIP_BYTES:
        discard(Upload(Path(file.name), ""))
        raise invalid("The code zip may have at most 250 MB.", "code")
    return Upload(Path(file.name), digest.hexdigest())
