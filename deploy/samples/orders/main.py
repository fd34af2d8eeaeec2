"""A hosted agent for long work, by the Invocations protocol and with nothing but the standard library.

It accepts an order with 202 and goes on; whoever sent it asks how far it is, or cancels it. With ``"stream": true`` in
the order it tells its steps as server-sent events instead.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

log = logging.getLogger("orders")

STEPS = ("reserve", "pay", "pack", "ship")
SECONDS_A_STEP = float(os.environ.get("SECONDS_A_STEP", "0.5"))


@dataclass
class Work:
    """One order, and how far it is."""

    order: Any
    done: list[str] = field(default_factory=list)
    status: str = "running"
    cancelled: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Take the steps, one after the other, until they are done or somebody cancels."""
        for step in STEPS:
            if self.cancelled.wait(SECONDS_A_STEP):
                self.status = "cancelled"
                log.info("order %s is cancelled before %s", self.order, step)
                return
            self.done.append(step)
            log.info("order %s: %s", self.order, step)
        self.status = "completed"

    def view(self) -> dict[str, Any]:
        """Return it as whoever asks sees it."""
        return {"order": self.order, "status": self.status, "done": list(self.done)}


WORKS: dict[str, Work] = {}


class Handler(BaseHTTPRequestHandler):
    """The container contract: readiness and Invocations."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer the readiness probe, or how far an order is."""
        path = self.path.split("?")[0]
        if path == "/readiness":
            self._send(200, {"status": "healthy"})
        elif work := WORKS.get(path.removeprefix("/invocations/")):
            self._send(200 if work.status != "running" else 202, work.view())
        else:
            self._missing(path)

    def do_POST(self) -> None:
        """Accept an order, or cancel one."""
        path = self.path.split("?")[0]
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path == "/invocations":
            self._accept(content)
        elif path.endswith("/cancel") and (work := WORKS.get(path.split("/")[2])):
            work.cancelled.set()
            self._send(200, work.view() | {"status": "cancelled"})
        else:
            self._missing(path)

    def _accept(self, content: bytes) -> None:
        try:
            body = json.loads(content)
            work = Work(body["order"])
        except (ValueError, KeyError, TypeError):
            self._send(400, {"error": {"code": "invalid_request_error", "message": "the body is JSON with an order"}})
            return
        if body.get("stream"):
            self._stream(work)
            return
        name = self.headers.get("x-agent-invocation-id") or uuid.uuid4().hex
        WORKS[name] = work
        threading.Thread(target=work.run, daemon=True).start()
        self._send(202, work.view(), {"x-agent-invocation-id": name, "Retry-After": "1"})

    def _stream(self, work: Work) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for step in STEPS:
            time.sleep(SECONDS_A_STEP)
            log.info("order %s: %s", work.order, step)
            self._event({"type": "step", "order": work.order, "step": step})
        self._event({"type": "done", "order": work.order})

    def _event(self, content: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()

    def _missing(self, path: str) -> None:
        self._send(404, {"error": {"code": "not_found", "message": f"nothing is known at {path}"}})

    def _send(self, status: int, answer: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Leave the log to the work itself."""


def main() -> None:
    """Serve until the platform asks to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    port = int(os.environ.get("PORT", "8088"))
    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.info("Listening on 0.0.0.0:%s", port)
    server.serve_forever()


if __name__ == "__main__":
    main()
