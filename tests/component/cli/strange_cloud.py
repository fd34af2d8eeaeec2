"""A service that answers as no emulator does: words, states and dialects of other days."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Method, path behind the project, JSON: status and JSON; bytes are a stream of events that breaks off.
Answer = Callable[[str, str, Any], tuple[int, Any]]
IDS = {"x-request-id": "req-4711", "x-ms-region": "swedencentral"}


@contextmanager
def a_cloud(answer: Answer) -> Iterator[tuple[str, ...]]:
    """Serve with ``answer`` and give the options that name the project."""

    class Handler(BaseHTTPRequestHandler):
        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.partition("?")[0].removeprefix("/api/projects/p")
            status, said = answer(self.command, path, json.loads(body) if body else None)
            is_cut = isinstance(said, bytes)
            content, kind = (said, "text/event-stream") if is_cut else (json.dumps(said).encode(), "application/json")
            self.send_response(status)
            length = len(content) + is_cut
            for name, value in {**IDS, "Content-Type": kind, "Content-Length": length}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.serve)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}/api/projects/p"
        try:
            yield ("--project-endpoint", endpoint, "--credential", "emulator")
        finally:
            server.shutdown()
            serving.join()


def an_agent(**but: Any) -> dict[str, Any]:
    rules = [{"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100}]
    endpoint = {"version_selector": {"version_selection_rules": rules}, "protocols": ["responses", "invocations"]}
    latest = a_version()
    shown = {"object": "agent", "id": "a", "name": "a", "versions": {"latest": latest}, "agent_endpoint": endpoint}
    return {**shown, **but}


def a_version(**but: Any) -> dict[str, Any]:
    shown = {"object": "agent.version", "id": "a:1", "name": "a", "version": "1", "status": "active", "definition": {}}
    return {**shown, **but}
