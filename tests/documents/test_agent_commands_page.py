"""Every example of the page on agent commands does what it is there for, in a project that has what it names."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controlled import controlled
from emulated import ECHO, code_definition, open_session, upload
from fences import SHELL, Fence, fences
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.foundry.packaging import pack
from patience import PATIENCE
from tools.repository import ROOT

PAGE = ROOT / "docs" / "agent-commands.md"
SAMPLES = ROOT / "deploy" / "samples"
EXAMPLES = [fence for fence in fences(PAGE) if fence.language == SHELL]
#: Where the service answers, as the page prints it.
PRINTED_SERVER = "http://127.0.0.1:8080"
#: Names that the cloud gives, as the page prints them.
PRINTED_DRAFT, PRINTED_INVOCATION, SESSION = "draft-1780000000000", "1f0c2d", "5c7a9e01"


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), images="echo")) as url:
        yield url


def until_stable(server: str, agent: str, version: str) -> None:
    """Wait until the service knows which version users have."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if httpx.get(f"{server}/api/v1/agents/{agent}").json().get("stable") == version:
            return
        time.sleep(0.2)
    raise AssertionError(f"version {version} of {agent} never became the stable one")


class Reader:
    """Somebody at a terminal, in a checkout with two agents, whose project has eight versions, a draft and sessions."""

    def __init__(self, base_url: str, project: str, folder: Path) -> None:
        self.folder = folder
        self.endpoint = f"{base_url}/api/projects/{project}"
        for place in (folder, folder / "agents" / "support-eu"):
            shutil.copytree(SAMPLES / "echo", place, dirs_exist_ok=True)
        (folder / "requirements.txt").write_text("idna==3.10\n", "utf-8")
        (folder / "prompts").mkdir()
        (folder / "prompts" / "greeter.md").write_text("Greet whoever speaks to you.\n", "utf-8")
        (folder / ".env").write_text("LEVEL=info\n", "utf-8")
        self._git("init", "--quiet")
        self._git("-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "--quiet", "--allow-empty", "-mx")
        with httpx.Client(
            base_url=self.endpoint,
            params={"api-version": "v1"},
            headers={"Authorization": "Bearer local"},
            timeout=PATIENCE,
        ) as cloud:
            self.draft = self._fill_support(cloud)
            self.invocation = self._fill_orders(cloud)

    def run(self, line: str) -> None:
        """Run one line of the page as ``_run`` does, beside the service if it asks that."""
        is_of_holds = "hold" in line.split()[2]
        if not is_of_holds and "--rollout" not in line and "--check" not in line:
            return self._run(line)
        if is_of_holds:
            self._run("foundry-rollouts agent route support-eu 6=100")
        (self.folder / "service").mkdir(exist_ok=True)
        with controlled(self.endpoint, self.folder / "service") as server:
            if is_of_holds:
                until_stable(server, "support-eu", "6")
            return self._run(line.replace(PRINTED_SERVER, server), server)

    def _run(self, line: str, server: str = "") -> None:
        """Run one line of the page, answer ``y`` if it asks, and press Ctrl-C once it follows; it must do well."""
        line = line.replace(PRINTED_DRAFT, self.draft).replace(PRINTED_INVOCATION, self.invocation)
        master, terminal = pty.openpty()
        if " delete " in line:
            os.write(master, b"y\n")
        command, environment = ["bash", "-o", "pipefail", "-c", line], self._environment(server)
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        try:
            shown = Shown(master)
            if "--follow" in line:
                assert shown.something.wait(PATIENCE), f"{line} shows nothing"
                os.killpg(process.pid, signal.SIGINT)
            code = process.wait(PATIENCE)
            assert code in ((0, 130, -signal.SIGINT) if "--follow" in line else (0,)), f"{line}\n{code}\n{shown.all()}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(master)

    def _environment(self, server: str) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("FOUNDRY")},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": self.endpoint,
            "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
            "FOUNDRY_ROLLOUTS_SERVER": server,
        }

    def _git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.folder, check=True)

    def _fill_support(self, cloud: httpx.Client) -> str:
        code = pack(self.folder / "agents" / "support-eu").data
        for number in range(1, 9):
            definition = code_definition(environment_variables={"BUILD": str(number)})
            version(cloud, upload(cloud, "/agents/support-eu/versions", code, definition))
        open_session(cloud, "support-eu", "8", agent_session_id=SESSION)
        asked = {"input": "hello", "agent_session_id": SESSION}
        cloud.post("/agents/support-eu/endpoint/protocols/openai/responses", json=asked).raise_for_status()
        return version(cloud, cloud.post("/agents/support-eu/versions", json={"draft": True, "definition": ECHO}))

    def _fill_orders(self, cloud: httpx.Client) -> str:
        code = pack(SAMPLES / "orders").data
        for pause in ("0.01", "60"):
            definition = code_definition(environment_variables={"SECONDS_A_STEP": pause})
            version(cloud, upload(cloud, "/agents/orders/versions", code, definition))
        rules = [{"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100}]
        routing = {"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}}
        cloud.patch("/agents/orders", json=routing).raise_for_status()
        open_session(cloud, "orders", "2", agent_session_id=SESSION)
        path = "/agents/orders/endpoint/protocols/invocations"
        begun = cloud.post(path, params={"agent_session_id": SESSION}, json={"order": 1})
        return str(begun.headers["x-agent-invocation-id"])


def version(cloud: httpx.Client, response: httpx.Response) -> str:
    """Return the version that was made, when it is active."""
    made = response.raise_for_status().json()
    while made["status"] == "creating":
        made = cloud.get(f"/agents/{made['name']}/versions/{made['version']}").json()
    assert made["status"] == "active", made
    return str(made["version"])


class Shown:
    """What a terminal shows, from now until nobody writes to it any more."""

    def __init__(self, terminal: int) -> None:
        self.something = threading.Event()
        self._terminal = terminal
        self._shown: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def all(self) -> str:
        """Return it, when it is complete."""
        self._reader.join(PATIENCE)
        return b"".join(self._shown).decode(errors="replace")

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # which is how a terminal says that nobody is left
            while data := os.read(self._terminal, 65536):
                self._shown.append(data)
                self.something.set()


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_example_does_well(base_url: str, tmp_path: Path, example: Fence) -> None:
    reader = Reader(base_url, example.heading.replace(" ", "-"), tmp_path)
    for line in example.text.splitlines():
        reader.run(line)


def test_every_command_of_the_page_has_an_example() -> None:
    commands = [line[3:] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("## ")]
    assert [example.heading for example in EXAMPLES] == commands
