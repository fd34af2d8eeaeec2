"""Many sessions at once, and nothing left of them afterwards: no process, port, handle or task."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import uvicorn

from emulated import a_project, children_of, deploy, handles, is_running, make, name_of
from foundry_emulator.app import create_app
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_emulator.serve import ClosingServer
from late_caller import is_left_waiting
from patience import PATIENCE

CONFIG = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), seed=1)


@asynccontextmanager
async def an_endpoint(base_url: str, project: str) -> AsyncIterator["Endpoint"]:
    # Of the clients at hand this one spends the least on many connections.
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as client:
        yield Endpoint(client, base_url, project)


class Endpoint:
    """The endpoint of agent ``a``, and the emulator's list of processes."""

    def __init__(self, client: aiohttp.ClientSession, base_url: str, project: str) -> None:
        self._client = client
        self._base_url = base_url
        self._endpoint = f"{base_url}/api/projects/{project}/agents/a/endpoint"

    async def call(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, str]]:
        query = {"api-version": "v1"}
        async with self._client.request(method, self._endpoint + path, json=body, params=query) as answer:
            return answer.status, await answer.json() if answer.status != 204 else {}

    async def processes(self) -> list[dict[str, str]]:
        async with self._client.get(f"{self._base_url}/_emulator/processes") as answer:
            return list(await answer.json())

    async def lived_session(self, calls: int) -> list[int]:
        made, session = await self.call("POST", "/sessions", {})
        body = {"input": "hello", "agent_session_id": session["agent_session_id"]}
        answers = [(await self.call("POST", "/protocols/openai/responses", body))[0] for _ in range(calls)]
        ended, _ = await self.call("DELETE", f"/sessions/{session['agent_session_id']}")
        return [made, *answers, ended]


async def test_two_hundred_built_in_sessions_at_once() -> None:
    with running(CONFIG) as base_url:
        with a_project(base_url) as project:
            make(project, latency_ms=20)
        async with an_endpoint(base_url, name_of(project)) as endpoint:
            outcomes = await asyncio.gather(*(endpoint.lived_session(3) for _ in range(200)))
            assert outcomes == [[201, 200, 200, 200, 204]] * 200
            assert await endpoint.processes() == []


async def test_twenty_processes_at_once_leave_nothing_behind() -> None:
    with running(CONFIG) as base_url:
        with a_project(base_url) as project:
            deploy(project)
        children = children_of(os.getpid())
        counts = []
        async with an_endpoint(base_url, name_of(project)) as endpoint:
            for _ in range(2):
                outcomes = await asyncio.gather(*(endpoint.lived_session(2) for _ in range(20)))
                assert outcomes == [[201, 200, 200, 204]] * 20
                counts.append(handles())
        assert children_of(os.getpid()) == children
        assert counts[1] <= counts[0] + 2


async def test_a_session_deleted_while_it_starts_leaves_no_process() -> None:
    with running(CONFIG) as base_url:
        with a_project(base_url) as project:
            deploy(project, {"main.py": "import time; time.sleep(600)"})
        async with an_endpoint(base_url, name_of(project)) as endpoint:
            starting = asyncio.create_task(endpoint.call("POST", "/sessions", {"agent_session_id": "starting"}))
            while not (found := await endpoint.processes()):
                pass
            assert (await endpoint.call("DELETE", "/sessions/starting"))[0] == 204
            assert (await starting)[0] == 500
            assert await endpoint.processes() == []
    assert found[0]["pid"] is None or not is_running(int(found[0]["pid"]))


async def test_a_caller_that_comes_as_the_emulator_stops_is_not_left_on_an_open_line() -> None:
    config = uvicorn.Config(create_app(CONFIG), log_config=None, timeout_graceful_shutdown=1)
    assert not await is_left_waiting(ClosingServer(config))


def test_a_caller_over_tls_who_does_not_answer_the_farewell_is_cut_off(tmp_path: Path) -> None:
    config = EmulatorConfig(port=0, tls=True, state_dir=tmp_path)
    with running(config) as url:
        trust = ssl.create_default_context(cafile=str(config.ca_path))
        line = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=PATIENCE)
        caller = trust.wrap_socket(line, server_hostname="127.0.0.1")
        caller.sendall(b"GET /_emulator/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert caller.recv(12) == b"HTTP/1.1 200"
    with socket.socket(fileno=caller.detach()) as bare:
        bare.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            while bare.recv(4096):
                pass
