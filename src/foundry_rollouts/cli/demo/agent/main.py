"""A small hosted agent that needs nothing but the standard library.

It answers both protocols, and it fails as often as ``behaviour.json`` beside it says, so that a demonstration can
deploy a good version and a bad one.
"""

import json
import logging
import os
import random
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BEHAVIOUR = json.loads(Path(__file__).with_name("behaviour.json").read_text("utf-8"))
log = logging.getLogger("support-agent")


class Handler(BaseHTTPRequestHandler):
    """The container contract: readiness, Responses, Invocations."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer the readiness probe."""
        is_known = self.path.split("?")[0] == "/readiness"
        self._send(200 if is_known else 404, {"status": "healthy"} if is_known else {"error": {"code": "not_found"}})

    def do_POST(self) -> None:
        """Answer a question, or fail as often as this version does."""
        began = time.perf_counter()
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        path = self.path.split("?")[0]
        try:
            status, answer = 200, self._answer(path, body)
        except LookupError:
            log.exception("the order could not be read")
            status, answer = 500, {"error": {"code": "server_error", "message": "the order could not be read"}}
        self._send(status, answer)
        took = (time.perf_counter() - began) * 1000
        log.info("Inbound POST %s completed with status %s in %.1fms", path, status, took)

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        time.sleep(BEHAVIOUR["seconds"])
        if random.random() < BEHAVIOUR["failure_rate"]:  # noqa: S311 - a demonstration, not a secret
            raise LookupError("orders[0]")
        text = f"{BEHAVIOUR['greeting']} How can I help?"
        if path == "/invocations":
            return {"answer": text, "asked": body}
        part = {"type": "output_text", "text": text, "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        number = f"{random.getrandbits(128):032x}"
        return {"id": f"resp_{number}", "object": "response", "status": "completed", "output": [message]}

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Leave the access line to ``do_POST``, which knows how long the call took."""


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
