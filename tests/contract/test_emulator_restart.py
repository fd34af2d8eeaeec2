"""An emulator with a folder remembers; one that ends, even by SIGKILL, leaves no agent behind."""

import signal
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest

from emulated import (
    a_project,
    ask,
    deploy,
    invoke,
    is_running,
    make,
    name_of,
    open_session,
    route,
    text_of,
    wait_until_gone,
)
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_emulator.errors import EmulatorError

SERVER = """
import asyncio, pathlib, sys
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_emulator.serve import serve

config = EmulatorConfig(port=0, state_dir=pathlib.Path(sys.argv[1]), lifecycle=Lifecycle("immediate"))
asyncio.run(serve(config, on_ready=lambda url: print(url, flush=True)))
print("ended", flush=True)
"""


def config_in(folder: Path) -> EmulatorConfig:
    return EmulatorConfig(port=0, state_dir=folder, lifecycle=Lifecycle("immediate"), seed=1)


def a_server(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True)


def base_url_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline().strip()


def rest_of(server: subprocess.Popen[str]) -> str:
    with server:
        assert server.stdout is not None
        return server.stdout.read()


def client_of(base_url: str, project: str) -> httpx.Client:
    return httpx.Client(
        base_url=f"{base_url}/api/projects/{project}",
        params={"api-version": "v1"},
        headers={"Authorization": "Bearer x"},
        timeout=60,
    )


def test_everything_confirmed_is_there_after_a_restart(tmp_path: Path) -> None:
    with running(config_in(tmp_path)) as url, a_project(url) as cloud:
        deploy(cloud)
        make(cloud, latency_ms=1)
        route(cloud, {"1": 75, "2": 25})
        cloud.post("/agents/a:disable")
        cloud.post("/agents/a:enable")
        session = open_session(cloud, version="1")
        invoke(cloud, {"write": "note.txt"}, session=session)
        conversation = cloud.post("/agents/a/endpoint/protocols/openai/conversations", json={}).json()["id"]
        bound = ask(cloud, conversation=conversation).json()["agent_session_id"]
        cloud.post("/agents/p/versions", json={"definition": {"kind": "prompt", "model": "emulator://echo?reply=yes"}})
        before, project = cloud.get("/agents/a").json(), name_of(cloud)
    with running(config_in(tmp_path)) as url, client_of(url, project) as cloud:
        assert cloud.get("/agents/a").json() == before
        assert [each["version"] for each in cloud.get("/agents/a/versions").json()["data"]] == ["2", "1"]
        assert cloud.get(f"/agents/a/endpoint/sessions/{session}").json()["status"] == "idle"
        assert text_of(ask(cloud, "hi", agent_session_id=session)) == "1 says hi"
        note = cloud.get(f"/agents/a/endpoint/sessions/{session}/files/content", params={"path": "note.txt"})
        assert note.text == "written by the agent"
        assert ask(cloud, conversation=conversation).json()["agent_session_id"] == bound
        assert make(cloud, latency_ms=2)["version"] == "3"
        assert text_of(ask(cloud, agent="p")) == "yes"


def test_an_upload_that_a_killed_emulator_left_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "upload-of-before").write_bytes(b"PK")
    with running(config_in(tmp_path)):
        assert not (tmp_path / "upload-of-before").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agents_and_then_the_emulator_in_peace(tmp_path: Path, number: signal.Signals) -> None:
    server = a_server(tmp_path)
    url = base_url_of(server)
    with client_of(url, "p") as cloud:
        deploy(cloud)
        open_session(cloud)
        pids = [each["pid"] for each in httpx.get(f"{url}/_emulator/processes").json()]
        assert is_running(pids[0])
        server.send_signal(number)
        assert rest_of(server) == "ended\n"
    assert server.returncode == 0
    assert not is_running(pids[0])


def test_a_killed_emulator_forgets_nothing_and_leaves_no_agent(tmp_path: Path) -> None:
    server = a_server(tmp_path)
    url = base_url_of(server)
    with client_of(url, "p") as cloud:
        deploy(cloud)
        session = open_session(cloud)
        agent = httpx.get(f"{url}/_emulator/processes").json()[0]["pid"]
        server.kill()
        rest_of(server)
    wait_until_gone(agent)
    with running(config_in(tmp_path)) as url, client_of(url, "p") as cloud:
        assert text_of(ask(cloud, "hi", agent_session_id=session)) == "1 says hi"


def test_a_build_that_was_cut_off_is_taken_up_again(tmp_path: Path) -> None:
    slow = EmulatorConfig(port=0, state_dir=tmp_path, lifecycle=Lifecycle("seconds", 600))
    with running(slow) as url, a_project(url) as cloud:
        assert make(cloud)["status"] == "creating"
        project = name_of(cloud)
    fast = EmulatorConfig(port=0, state_dir=tmp_path, clock_speed=100_000)
    with running(fast) as url, client_of(url, project) as cloud:
        states = (cloud.get("/agents/a/versions/1").json()["status"] for _ in range(1000))
        assert "active" in states


def test_a_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmulatorError, match="cannot keep state in"), running(config_in(tmp_path / "file")):
        pass


def test_a_folder_serves_one_emulator_at_a_time(tmp_path: Path) -> None:
    with (
        running(config_in(tmp_path)) as url,
        pytest.raises(EmulatorError, match="is another emulator using it"),
        running(config_in(tmp_path)),
    ):
        assert url


def test_a_relative_folder_means_the_same_place_to_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with running(config_in(Path("state"))) as url, a_project(url) as cloud:
        deploy(cloud)
        session = open_session(cloud)
        home = Path(invoke(cloud, {"environment": True}, session=session).json()["HOME"])
        assert home.is_relative_to(tmp_path / "state")


def test_two_emulators_know_nothing_of_each_other() -> None:
    name = uuid.uuid4().hex
    config = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"))
    other = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"))
    with running(config) as one, running(other) as two, client_of(one, name) as first, client_of(two, name) as second:
        make(first)
        assert second.get("/agents/a").status_code == 404


def test_without_a_folder_nothing_stays_on_the_disk(tmp_path: Path) -> None:
    config = EmulatorConfig(port=0, scratch=tmp_path / "scratch")
    with running(config) as url:
        assert httpx.get(f"{url}/_emulator/health").status_code == 200
        assert config.scratch.exists()
    assert not config.scratch.exists()
