"""A server that answers everything and keeps what it was asked, field by field."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from emulated import AGENT, a_zip

PER_CONNECTION = {"host", "connection", "content-length"}  #: They say nothing of the operation.
ANSWER: dict[str, Any] = {
    "id": "a",
    "name": "a",
    "version": "1",
    "data": [],
    "entries": [],
    "deleted": True,
    "agent_endpoint": {"protocols": ["responses"]},
}
ANSWER["versions"] = {"latest": {"name": "a", "version": "1"}}


@dataclass
class Recorder:
    """The fields of each request; a multipart body counts by its parts."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, method: str, target: str, headers: Message, body: bytes) -> tuple[int, str, bytes]:
        """Keep the request and return status, content type and body of what its caller hopes for."""
        url = urlsplit(target)
        fields: dict[str, Any] = {"method": method, "path": url.path, "query": dict(parse_qsl(url.query))}
        fields |= {f"header {name.lower()}": value for name, value in headers.items()}
        self.asked.append({name: fields[name] for name in fields if name.removeprefix("header ") not in PER_CONNECTION})
        self.asked[-1] |= _content(headers, body)
        is_session = "/sessions/" in url.path
        if url.path.endswith((":enable", ":disable", ":stop")) or (method == "DELETE" and is_session):
            return 204, "application/json", b""
        if url.path.endswith("code:download"):
            return 200, "application/zip", a_zip({"main.py": AGENT, "requirements.txt": ""})
        if url.path.endswith("logstream") or (url.path.endswith("/responses") and b'"stream"' in body):
            return 200, "text/event-stream", b""
        is_made = (method == "POST" and url.path.endswith("/sessions")) or method == "PUT"
        answer = ANSWER | _named_in(url.path) | _wanted_by(body)
        return 201 if is_made else 200, "application/json", json.dumps(answer).encode()


def _named_in(path: str) -> dict[str, Any]:
    """Return what an answer has to be called by: who asks for one thing takes no other one."""
    parts = path.split("/")
    named = dict(pairwise(parts))
    words = {"responses": "id", "versions": "version", "sessions": "agent_session_id"}
    return {word: named[part] for part, word in words.items() if part in named}


def _wanted_by(body: bytes) -> dict[str, Any]:
    try:
        wish = json.loads(body)
    except ValueError:
        return {}
    return {"agent_session_id": wish["agent_session_id"]} if "agent_session_id" in wish else {}


def _content(headers: Message, body: bytes) -> dict[str, Any]:
    kind = headers.get("Content-Type", "")
    if not kind.startswith("multipart/form-data"):
        return {"body": json.loads(body) if body and kind.endswith("json") else body}
    found: dict[str, Any] = {"header content-type": "multipart/form-data"}
    boundary = kind.partition("boundary=")[2].encode()
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        lines = HeaderParser().parsestr(head.decode())
        name = lines.get_param("name", header="content-disposition")
        found[f"part {name}"] = json.loads(content) if name == "metadata" else content
        found[f"type of part {name}"] = lines.get("content-type")
        found[f"file name of part {name}"] = lines.get_filename()
    return found


@contextmanager
def recording(recorder: Recorder) -> Iterator[str]:
    """Serve for as long as the block lasts and give the endpoint of a project."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, content = recorder.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if "code:download" in self.path:
                self.send_header("x-ms-agent-version", "1")
                self.send_header("x-ms-code-zip-sha256", sha256(content).hexdigest())
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer  # noqa: N815 - the names are the server's

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api/projects/p"
        finally:
            server.shutdown()
            thread.join()
