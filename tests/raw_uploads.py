"""Code uploads written byte by byte, as clients that are not ours send them."""

import hashlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from emulated import a_zip, code_definition
from patience import PATIENCE

ZIP = a_zip({"main.py": "print(1)", "requirements.txt": ""})
METADATA = json.dumps({"definition": code_definition()}).encode()
PLAIN = "multipart/form-data; boundary=b"
CODE_HEAD = 'Content-Disposition: form-data; name="code"; filename="a.zip"\r\nContent-Type: application/zip'
METADATA_HEAD = 'Content-Disposition: form-data; name="metadata"\r\nContent-Type: application/json'


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def refusal(self) -> tuple[int, str | None, str]:
        error = self.json()["error"]
        assert error["additionalInfo"]["request_id"]
        return self.status, error["param"], error["message"]


@dataclass(frozen=True, slots=True)
class Part:
    head: str
    data: bytes = field(repr=False)

    def encoded(self) -> bytes:
        return self.head.encode() + b"\r\n\r\n" + self.data


def metadata(data: bytes = METADATA, head: str = METADATA_HEAD) -> Part:
    return Part(head, data)


def code(data: bytes = ZIP, head: str = CODE_HEAD) -> Part:
    return Part(head, data)


def multipart(*parts: Part, boundary: str = "b", end: str = "--\r\n") -> bytes:
    delimiter = b"--" + boundary.encode()
    return b"".join(delimiter + b"\r\n" + part.encoded() + b"\r\n" for part in parts) + delimiter + end.encode()


def post(
    base_url: str,
    path: str,
    body: bytes | Sequence[bytes],
    content_type: str = PLAIN,
    *,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
) -> Answer:
    """Send a body with ``http.client``; a sequence goes chunked, a chunk for each."""
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE)
    is_chunked = not isinstance(body, bytes)
    sent = {
        "Authorization": "Bearer raw",
        "Content-Type": content_type,
        "x-ms-code-zip-sha256": hashlib.sha256(ZIP).hexdigest(),
        **({"Transfer-Encoding": "chunked"} if is_chunked else {}),
        **(headers or {}),
    }
    url = f"{path}{'&' if '?' in path else '?'}api-version=v1"
    connection.request(method, url, body if isinstance(body, bytes) else iter(body), sent, encode_chunked=is_chunked)
    response = connection.getresponse()
    answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    connection.close()
    return answer


@contextmanager
def a_socket(base_url: str) -> Iterator[socket.socket]:
    address = urlsplit(base_url)
    with socket.create_connection((str(address.hostname), address.port or 80), timeout=PATIENCE) as connection:
        yield connection
