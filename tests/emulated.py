"""What tests of the local Foundry share: a client, definitions, uploads, and the source of an agent that runs."""

import contextlib
import hashlib
import io
import itertools
import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from patience import PATIENCE

PROJECTS = itertools.count()
PROTOCOLS = [{"protocol": name, "version": "2.0.0"} for name in ("responses", "invocations")]
ECHO = {
    "kind": "hosted",
    "cpu": "1",
    "memory": "2Gi",
    "container_configuration": {"image": "emulator://echo"},
    "protocol_versions": PROTOCOLS,
}
AGENT = """
import http.server, json, os, pathlib, signal, sys, threading, time

signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), os._exit(0)))
jobs = {}

class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/readiness":
            return self.answer(200, {"status": "healthy"})
        if self.path.startswith("/invocations/docs"):
            return self.answer(200, {"openapi": "3.1.0"})
        kind, name = self.path.split("?")[0].split("/")[1:3]
        if name not in jobs:
            return self.answer(404, {"error": {"code": "not_found", "message": name}})
        if kind == "responses":
            return self.answer(200, jobs[name])
        self.answer(200, {"status": jobs[name]})

    def do_DELETE(self):
        name = self.path.split("?")[0].split("/")[2]
        jobs.pop(name)
        self.answer(200, {"id": name, "object": "response.deleted", "deleted": True})

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.split("?")[0]
        if path.endswith("/cancel"):
            jobs[path.split("/")[2]] = "cancelled"
            return self.answer(200, {"status": "cancelled"})
        body = json.loads(data or b"{}")
        if path == "/responses":
            return self.respond(body)
        self.invoke(body)

    def respond(self, body):
        said = body.get("input")
        print("asked:", said, flush=True)
        if said == "die":
            os._exit(3)
        if isinstance(said, str) and said.startswith("wait "):
            time.sleep(float(said.split()[1]))
        reference = body["agent_reference"]
        text = f"{os.environ['FOUNDRY_AGENT_VERSION']} says {said}"
        content = [{"type": "output_text", "text": text, "annotations": []}]
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
        name = f"caresp_{os.getpid()}"
        jobs[name] = {"id": name, "object": "response", "created_at": 1, "status": "completed", "model": "m",
                      "output": [message], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
                      "metadata": {"asked_for": reference["name"]}}
        self.answer(200, jobs[name])

    def invoke(self, body):
        if body.get("environment"):
            return self.answer(200, dict(os.environ))
        if body.get("headers"):
            return self.answer(200, dict(self.headers))
        if body.get("write"):
            pathlib.Path.home().joinpath(body["write"]).write_text("written by the agent")
            return self.answer(200, {})
        if body.get("stream"):
            return self.stream(int(body["stream"]))
        jobs[self.headers["x-agent-invocation-id"]] = "running"
        self.answer(202, {"status": "running"})

    def stream(self, count):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for number in range(count):
            self.wfile.write(f"data: {number}\\n\\n".encode())
            self.wfile.flush()
            time.sleep(0.02)

    def answer(self, status, document):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        print(self.requestline, file=sys.stderr, flush=True)

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Agent).serve_forever()
"""


@contextmanager
def a_project(base_url: str) -> Iterator[httpx.Client]:
    """Give a client of a project that nobody else has."""
    with httpx.Client(
        base_url=f"{base_url}/api/projects/project-{next(PROJECTS)}",
        params={"api-version": "v1"},
        headers={"Authorization": "Bearer local"},
        timeout=PATIENCE,
    ) as client:
        yield client


def name_of(project: httpx.Client) -> str:
    return str(project.base_url).rstrip("/").rsplit("/", 1)[-1]


def make(project: httpx.Client, agent: str = "a", **parameters: object) -> dict[str, Any]:
    """Create a version on a built-in behaviour."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    definition = {**ECHO, "container_configuration": {"image": f"emulator://echo?{query}".rstrip("?")}}
    response = project.post(f"/agents/{agent}/versions", json={"definition": definition})
    assert response.status_code == 200, response.text
    return dict(response.json())


def a_zip(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def code_definition(resolution: str = "remote_build", **settings: object) -> dict[str, Any]:
    code = {"runtime": "python_3_13", "entry_point": ["python", "main.py"], "dependency_resolution": resolution}
    return {
        "kind": "hosted",
        "cpu": "1",
        "memory": "2Gi",
        "code_configuration": code,
        "protocol_versions": PROTOCOLS,
        **settings,
    }


def upload(
    project: httpx.Client,
    path: str,
    data: bytes,
    definition: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a zip as the clients do."""
    metadata = json.dumps({"definition": definition or code_definition()})
    return project.post(
        path,
        headers={"x-ms-code-zip-sha256": hashlib.sha256(data).hexdigest(), **(headers or {})},
        files={"metadata": (None, metadata), "code": ("agent.zip", data)},
    )


def deploy(
    project: httpx.Client,
    files: Mapping[str, str | bytes] | None = None,
    definition: dict[str, Any] | None = None,
    agent: str = "a",
) -> dict[str, Any]:
    """Create a version from source code and return it when it is active or failed."""
    data = a_zip({"requirements.txt": "", **(files if files is not None else {"main.py": AGENT})})
    created = upload(project, f"/agents/{agent}/versions", data, definition)
    assert created.status_code == 200, created.text
    return settled(project, created.json())


def settled(project: httpx.Client, version: dict[str, Any]) -> dict[str, Any]:
    while version["status"] == "creating":
        version = project.get(f"/agents/{version['name']}/versions/{version['version']}").json()
    return version


def open_session(project: httpx.Client, agent: str = "a", version: str | None = None, **fields: str) -> str:
    body: dict[str, Any] = dict(fields)
    if version:
        body["version_indicator"] = {"type": "version_ref", "agent_version": version}
    response = project.post(f"/agents/{agent}/endpoint/sessions", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["agent_session_id"])


def ask(project: httpx.Client, text: str = "x", agent: str = "a", **fields: object) -> httpx.Response:
    return project.post(f"/agents/{agent}/endpoint/protocols/openai/responses", json={"input": text, **fields})


def text_of(response: httpx.Response) -> str:
    return str(response.json()["output"][0]["content"][0]["text"])


def invoke(project: httpx.Client, body: object, agent: str = "a", session: str | None = None) -> httpx.Response:
    query = {"agent_session_id": session} if session else {}
    return project.post(f"/agents/{agent}/endpoint/protocols/invocations", json=body, params=query)


def route(project: httpx.Client, weights: Mapping[str, int], agent: str = "a") -> httpx.Response:
    rules = [
        {"type": "FixedRatio", "agent_version": version, "traffic_percentage": weight}
        for version, weight in weights.items()
    ]
    patch = {"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}}
    return project.patch(f"/agents/{agent}", json=patch)


def refusal(response: httpx.Response) -> tuple[int, str, str | None]:
    """Return status, code and param of an error, after a look at the whole envelope."""
    error = response.json()["error"]
    assert {"code", "message", "param", "type", "details", "additionalInfo", "debugInfo"} == set(error)
    assert error["additionalInfo"]["request_id"]
    return response.status_code, error["code"], error["param"]


def is_running(pid: int) -> bool:
    """Tell whether a process exists and has not ended; a zombie has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def children_of(pid: int) -> list[int]:
    """Return the running processes that this one started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state not in ("Z", "X"):
                found.append(int(stat.parent.name))
    return found


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(pid)


def handles() -> int:
    """Return how many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
