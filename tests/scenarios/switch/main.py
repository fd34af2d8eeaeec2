"""An agent that breaks while a file is there, so that a story can break it at the moment it wants."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BROKEN = Path(json.loads(Path(__file__).with_name("behaviour.json").read_text("utf-8"))["broken"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, {"status": "healthy"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
        body: dict[str, Any] = {"id": "resp_1", "object": "response", "status": "completed", "output": [message]}
        status, trace = 200, ""
        if BROKEN.exists():
            body = {"error": {"code": "server_error", "message": "broken"}}
            status, trace = 500, "Traceback (most recent call last):\nKeyError: 'orders'\n"
        self.answer(status, body)
        sys.stderr.write(f'{trace}"POST {self.path} HTTP/1.1" {status} -\n')
        sys.stderr.flush()

    def answer(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Say nothing but what do_POST says."""


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
