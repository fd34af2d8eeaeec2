"""An agent as a reader of the document has one: both protocols, a log line for each call, a library in its zip."""

import json
import os
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import idna


class Handler(BaseHTTPRequestHandler):
    """The container contract: ``/readiness``, ``/responses``, ``/invocations``."""

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/readiness" else 404, {"status": "healthy"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.split("?")[0]
        answer = self._response(asked) if path == "/responses" else {"heard": asked["input"]}
        self._answer(200, answer)
        print(f"Inbound POST {path} completed with status 200", flush=True)

    def _response(self, asked: dict[str, Any]) -> dict[str, Any]:
        where = Path(idna.__file__).parents[1].name
        text = f"idna of {where}" if asked["input"] == "packages" else f"heard {asked['input']}"
        content = [{"type": "output_text", "text": text, "annotations": []}]
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
        return {
            "id": f"caresp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": 0,
            "status": "completed",
            "model": asked.get("model"),
            "output": [message],
        }

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        print(self.requestline, file=sys.stderr, flush=True)


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
