"""A service that asks who you are, as a process of its own; a real Prometheus reads its metrics, and nothing else."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import live_prometheus
from command_line import begin, run
from foundry_rollouts.core.model.access import Role
from patience import PATIENCE

HERE, ASIDE = "127.0.0.1", "127.0.0.2"

CONFIG = """
global: {scrape_interval: 250ms, scrape_timeout: 250ms}
scrape_configs:
  - job_name: known
    authorization: {credentials_file: TOKEN}
    static_configs: [{targets: ["TARGET"]}]
  - job_name: unknown
    static_configs: [{targets: ["TARGET"]}]
"""


@dataclass(frozen=True)
class Guarded:
    """The service: where its API and its metrics are, a token of each role, and what it logged."""

    api: str
    metrics: str
    secrets: dict[Role, str]
    folder: Path

    async def status(self, url: str, role: Role | None = None) -> int:
        headers = {"Authorization": f"Bearer {self.secrets[role]}"} if role else {}
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            return (await client.get(url, headers=headers)).status_code


def a_free_port(host: str) -> int:
    with socket.create_server((host, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


async def until(read: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if answer := await read():
                    return answer
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


@asynccontextmanager
async def ended_after(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    secrets = {}
    for role in (Role.VIEWER, Role.CALLER, Role.ADMIN):
        made = await run("token", "create", "--owner", f"the {role}", "--role", role.value, folder=tmp_path)
        secrets[role] = made.out.strip()
    api, metrics = f"{HERE}:{a_free_port(HERE)}", f"{ASIDE}:{a_free_port(ASIDE)}"
    (tmp_path / "policies").mkdir()
    settings = {
        "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": "http://127.0.0.1:9/api/projects/local",
        "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
        "FOUNDRY_ROLLOUTS_ACCESS": "required",
        "FOUNDRY_ROLLOUTS_LISTEN": api,
        "FOUNDRY_ROLLOUTS_METRICS_LISTEN": metrics,
        "FOUNDRY_ROLLOUTS_METRICS_ACCESS": "token",
    }
    process = await begin("serve", folder=tmp_path, stdout=asyncio.subprocess.DEVNULL, **settings)
    assert process.stderr is not None
    reading = asyncio.create_task(process.stderr.read())
    service = Guarded(f"http://{api}", f"http://{metrics}", secrets, tmp_path)
    async with ended_after(process):
        await until(lambda: service.status(f"{service.api}/healthz"))
        yield service
    said = (await reading).decode()
    assert "daemon.stopped" in said
    assert not [role for role, secret in secrets.items() if secret in said]


async def test_each_address_serves_its_own_to_those_who_may(guarded: Guarded) -> None:
    agents, metrics = f"{guarded.api}/api/v1/agents", f"{guarded.metrics}/metrics"
    assert [await guarded.status(agents, role) for role in (None, Role.CALLER, Role.VIEWER)] == [401, 403, 200]
    assert [await guarded.status(metrics, role) for role in (None, Role.CALLER, Role.VIEWER)] == [401, 403, 200]
    assert await guarded.status(f"{guarded.api}/metrics", Role.ADMIN) == 404
    for path in (
        "/api/v1/agents",
        "/api/v1/tokens",
        "/api/openapi.json",
        "/",
        "/readyz",
        "/sign-in",
        "/static/theme.js",
    ):
        assert await guarded.status(guarded.metrics + path, Role.ADMIN) == 404, path


async def test_a_readiness_probe_is_told_no_reasons(guarded: Guarded) -> None:
    async with httpx.AsyncClient(base_url=guarded.api, trust_env=False) as client:
        answer = (await client.get("/readyz")).json()
        assert {each["because"] for each in answer["conditions"]} == {"a viewer sees why"}


@pytest.mark.skipif(
    live_prometheus.PROGRAM is None, reason="prometheus is missing (Debian: apt-get install prometheus)"
)
async def test_prometheus_scrapes_the_second_address_with_a_token_and_cannot_without(guarded: Guarded) -> None:
    (guarded.folder / "token").write_text(guarded.secrets[Role.VIEWER], "utf-8")
    config = CONFIG.replace("TARGET", guarded.metrics[7:]).replace("TOKEN", str(guarded.folder / "token"))
    (guarded.folder / "prometheus.yml").write_text(config, "utf-8")
    listen = f"{HERE}:{a_free_port(HERE)}"
    process = await live_prometheus.begun(guarded.folder, listen)
    async with ended_after(process), httpx.AsyncClient(base_url=f"http://{listen}", trust_env=False) as client:
        await live_prometheus.answers(client)

        async def targets() -> dict[str, Any] | None:
            found = (await client.get("/api/v1/targets")).json()["data"]["activeTargets"]
            seen = {each["labels"]["job"]: each for each in found if each["health"] != "unknown"}
            return seen if len(seen) == 2 and seen["known"]["health"] == "up" else None

        seen = await until(targets)
        assert (seen["unknown"]["health"], "401" in seen["unknown"]["lastError"]) == ("down", True)

        async def series() -> list[Any]:
            query = {"query": 'foundry_rollouts_build_info{job="known"}'}
            return list((await client.get("/api/v1/query", params=query)).json()["data"]["result"])

        assert len(await until(series)) == 1
    listed = json.loads((await run("token", "list", "-o", "json", folder=guarded.folder)).out)
    assert next(each for each in listed if each["role"] == "viewer")["last_used_at"]
