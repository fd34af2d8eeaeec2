"""A hosted agent in its smallest form: it repeats its input, by the Responses protocol, whole or as a stream.

It shows the container contract with nothing but the standard library: a port from the environment, ``/readiness``,
``/responses``, a log on stderr, an end on SIGTERM.
"""

import json
import logging
import os
import signal
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

log = logging.getLogger("echo")

#: A person can watch the pieces of a stream come.
SECONDS_BETWEEN_PIECES = 0.1


class Handler(BaseHTTPRequestHandler):
    """The container contract: readiness and Responses."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer the readiness probe."""
        if self.path.split("?")[0] == "/readiness":
            self._send(200, {"status": "healthy"})
        else:
            self._send(404, {"error": {"code": "not_found", "message": f"no route {self.path}"}})

    def do_POST(self) -> None:
        """Answer a question."""
        began = time.perf_counter()
        status = self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        took = (time.perf_counter() - began) * 1000
        log.info("Inbound POST %s completed with status %s in %.1fms", self.path.split("?")[0], status, took)

    def _answer(self, content: bytes) -> int:
        try:
            body = json.loads(content)
            said = text_of(body["input"])
        except (ValueError, KeyError, TypeError):
            error = {"code": "invalid_request_error", "message": "the body is JSON with an input"}
            return self._send(400, {"error": error})
        text = f"version {os.environ.get('FOUNDRY_AGENT_VERSION', '?')} heard: {said}"
        response = response_of(text, body.get("agent_reference"))
        if body.get("stream"):
            return self._stream(response, text)
        return self._send(200, response)

    def _send(self, status: int, answer: dict[str, Any]) -> int:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)
        return status

    def _stream(self, response: dict[str, Any], text: str) -> int:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        begun = response | {"status": "in_progress", "output": []}
        self._event(0, "response.created", response=begun)
        for number, word in enumerate(text.split(" "), start=1):
            piece = word if number == 1 else f" {word}"
            log.info("piece %d", number)
            self._event(number, "response.output_text.delta", delta=piece, output_index=0, content_index=0)
            time.sleep(SECONDS_BETWEEN_PIECES)
        self._event(number + 1, "response.completed", response=response)
        return 200

    def _event(self, number: int, kind: str, **content: Any) -> None:
        data = json.dumps({"type": kind, "sequence_number": number, **content})
        self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Leave the access line to ``do_POST``, which knows how long the call took."""


def text_of(given: Any) -> str:
    """Return the words of an input, which is a text or a list of messages."""
    if isinstance(given, str):
        return given
    parts = [message["content"] for message in given]
    return " ".join(part if isinstance(part, str) else " ".join(each["text"] for each in part) for part in parts)


def response_of(text: str, agent: Any) -> dict[str, Any]:
    """Return a finished response, as the Responses protocol has it."""
    part = {"type": "output_text", "text": text, "annotations": []}
    name = uuid.uuid4().hex
    message = {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    response = {"id": f"caresp_{name}", "object": "response", "created_at": int(time.time()), "status": "completed"}
    return response | {"model": "echo", "output": [message], "agent_reference": agent}


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
