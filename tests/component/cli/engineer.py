"""A release engineer at work: agent commands within this process, against a project of a local Foundry."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from command_line import Outcome

PROJECTS = itertools.count()
AS_USUAL = {
    "drafts_enabled": True,
    "routing_lag_seconds": 0.0,
    "arm_forbidden": False,
    "principal_delay_seconds": 0.0,
    "version_override": "obeys",
}
READY = """
import http.server, json, os
class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"status": "healthy"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Agent).serve_forever()
"""


@dataclass(frozen=True)
class Engineer:
    """One project, a folder, and the control of the local Foundry."""

    foundry: str
    inside: Callable[..., Outcome]
    folder: Path
    control: httpx.Client
    project: str = field(default_factory=lambda: f"engineer-{next(PROJECTS)}")

    @property
    def endpoint(self) -> str:
        return f"{self.foundry}/api/projects/{self.project}"

    def run(self, *words: str) -> Outcome:
        """Run ``foundry-rollouts agent`` in the project."""
        return self.inside("agent", *words, "--project-endpoint", self.endpoint, "--credential", "emulator")

    @contextmanager
    def begun(self, *words: str, **streams: Any) -> Iterator[Any]:
        """Start a command as a process of its own; it is ended with the block."""
        command = [sys.executable, "-m", "foundry_rollouts", "agent", *words]
        command += ["--project-endpoint", self.endpoint, "--credential", "emulator"]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        with subprocess.Popen(command, text=True, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()

    def well(self, *words: str) -> Outcome:
        """Run a command that must do well."""
        done = self.run(*words)
        assert done.code == 0, done.err
        return done

    def told(self, *words: str) -> Any:
        """Return what a command tells as JSON."""
        return json.loads(self.well(*words, "--output", "json").out)

    def an_image(self, agent: str = "a", image: str = "emulator://echo", *more: str) -> str:
        """Make a version of a built-in behaviour and return its number."""
        protocols = ("--protocol", "responses", "--protocol", "invocations")
        return str(self.told("create", agent, "--image", image, *protocols, *more)["version"])

    def some_code(self, name: str = "shop", **files: str) -> Path:
        """Write an agent's source and return its folder; a file's name is told with __ for the dot."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file, text in ({"main__py": READY, "requirements__txt": ""} | files).items():
            (folder / file.replace("__", ".")).write_text(text, "utf-8")
        return folder

    def switch(self, **switches: object) -> None:
        self.control.patch("/switches", json=switches).raise_for_status()

    def fault(self, operation: str, status: int, code: str, message: str = "not now") -> None:
        body = {"operation": operation, "status": status, "code": code, "message": message}
        self.control.post("/faults", json=body).raise_for_status()

    def next_version_fails(self, agent: str, message: str) -> None:
        path = f"/projects/{self.project}/agents/{agent}/fail-next-version"
        self.control.post(path, json={"code": "CodeError", "message": message}).raise_for_status()
