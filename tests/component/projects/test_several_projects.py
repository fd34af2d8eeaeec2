"""Several projects under one controller: the whole service in this process, two projects of a local Foundry."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from fault_proxy import FaultProxy
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts import clock
from foundry_rollouts.daemon import bind_projects, read_policies
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.settings import Settings
from foundry_rollouts.store.schema import upgrade
from foundry_rollouts.web.app import create_app
from foundry_rollouts.wiring import built
from patience import PATIENCE

AGENT = "support"
PROTOCOLS = {"responses": "2.0.0"}
POLICY = """
name: standard
agents: ["*"]
steps: [{weight: 50, min: 1s}, {weight: 100, min: 1s}]
judge: {bad: 3x + 20pp}
sources: {outcomes: {}}
gates: [error-rate: {}]
"""


@pytest.fixture(scope="module")
def foundry() -> Iterator[str]:
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), seed=3)) as url:
        yield url


@dataclass
class Service:
    """The running service, its API, and the projects that it watches."""

    clouds: Mapping[str, FoundryClient]
    api: httpx.AsyncClient

    async def create(self, project: str, image: str = "emulator://echo", agent: str = AGENT) -> None:
        await self.clouds[project].api.versions.create(agent, Definition(image=image, protocols=PROTOCOLS))

    async def agents(self) -> dict[str, Any]:
        items = (await self.api.get("/api/v1/agents")).json()["items"]
        return {each["name"]: each for each in items}

    async def phases(self) -> dict[str, str]:
        items = (await self.api.get("/api/v1/rollouts")).json()["items"]
        return {each["agent"]: each["phase"] for each in items}

    async def weights(self, project: str) -> dict[str, int]:
        return dict((await self.clouds[project].agent(AGENT)).routing.weights)

    async def report(self, agent: str, *, failing: Sequence[str] = (), calls: int = 20) -> int:
        at = clock.now().isoformat()
        outcomes = [
            {
                "id": f"{at}-{version}-{number}",
                "agent": agent,
                "version": version,
                "at": at,
                "ok": version not in failing,
            }
            for version in ("1", "2")
            for number in range(calls)
        ]
        return int((await self.api.post("/api/v1/outcomes", json={"outcomes": outcomes})).json()["accepted"])

    async def conditions(self) -> dict[str, Any]:
        answer = (await self.api.get("/readyz")).json()
        return {"is_ready": answer["is_ready"]} | {each["name"]: each for each in answer["conditions"]}


async def until(read: Callable[[], Awaitable[object]]) -> None:
    """Wait until ``read`` says so."""
    async with asyncio.timeout(PATIENCE):
        while not await read():  # noqa: ASYNC110 - the cloud rings no bell
            await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(folder: Path, projects: Mapping[str, Mapping[str, str]]) -> AsyncIterator[Service]:
    """Run the service on ``projects`` and the database of ``folder``."""
    (folder / "shared.yaml").write_text(POLICY, "utf-8")
    written = {name: {"credential": "emulator", **entry} for name, entry in projects.items()}
    settings = Settings(
        projects=json.dumps(written),
        database_url=f"sqlite:///{folder / 'history.db'}",
        policies=folder / "shared.yaml",
        tick_seconds=0.5,
        discovery_seconds=1,
    )
    await upgrade(settings.database_url)
    policies = await read_policies(settings)
    clouds = {name: FoundryClient(entry["endpoint"], FixedToken()) for name, entry in projects.items()}
    async with (
        built(settings, policies, asyncio.Event()) as parts,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(parts.services)), base_url="http://127.0.0.1:8080"
        ) as api,
    ):
        await bind_projects(parts)
        parts.scheduler.start()
        try:
            yield Service(clouds, api)
        finally:
            await parts.scheduler.stop()
            for cloud in clouds.values():
                await cloud.aclose()


def two(foundry: str, here: Path) -> dict[str, dict[str, str]]:
    """Return two projects that no other test has."""
    return {name: {"endpoint": f"{foundry}/api/projects/{here.name}-{name}"} for name in ("sales", "emea")}


async def test_agents_of_one_name_in_two_projects_have_rollouts_of_their_own(foundry: str, tmp_path: Path) -> None:
    async with serving(tmp_path, two(foundry, tmp_path)) as service:
        for project in service.clouds:
            await service.create(project)

        async def are_pinned() -> bool:
            agents = await service.agents()
            return {name: agent["stable"] for name, agent in agents.items()} == {
                "emea/support": "1",
                "sales/support": "1",
            }

        await until(are_pinned)
        for project in service.clouds:
            await service.create(project, "emulator://echo?reply=hello")

        async def have_begun() -> bool:
            return await service.weights("sales") == await service.weights("emea") == {"1": 50, "2": 50}

        await until(have_begun)

        async def have_ended() -> bool:
            await service.report("sales/support", failing=["2"])
            await service.report("emea/support", calls=100)
            return set((await service.phases()).values()) == {"rolled_back", "promoted"}

        await until(have_ended)
        assert await service.phases() == {"sales/support": "rolled_back", "emea/support": "promoted"}
        assert (await service.weights("sales"), await service.weights("emea")) == ({"1": 100}, {"2": 100})


async def test_an_agent_is_found_with_its_slash_as_it_is_and_escaped(foundry: str, tmp_path: Path) -> None:
    async with serving(tmp_path, two(foundry, tmp_path)) as service:
        await service.create("sales")

        async def is_known() -> bool:
            return "sales/support" in await service.agents()

        await until(is_known)
        for path in ("sales/support", "sales%2Fsupport"):
            answer = await service.api.get(f"/api/v1/agents/{path}")
            assert (answer.status_code, answer.json()["name"]) == (200, "sales/support")
        assert (await service.api.get("/api/v1/agents/support")).status_code == 404
        assert "sales/support" in (await service.api.get("/")).text


async def test_a_project_that_is_away_keeps_nothing_from_the_other(foundry: str, tmp_path: Path) -> None:
    proxy = FaultProxy(urlsplit(foundry).port or 0)
    await proxy.start()
    try:
        projects = two(foundry, tmp_path)
        there = projects["sales"]["endpoint"]
        projects["sales"]["endpoint"] = there.replace(foundry, f"http://127.0.0.1:{proxy.port}")
        async with serving(tmp_path, projects) as service:
            for project in service.clouds:
                await service.create(project)

            async def are_pinned() -> bool:
                return [each["stable"] for each in (await service.agents()).values()] == ["1", "1"]

            await until(are_pinned)
            await proxy.cut()

            async def is_away() -> bool:
                return not (await service.conditions())["project sales"]["is_well"]

            await until(is_away)
            await service.create("emea", "emulator://echo?reply=hello")

            async def has_begun() -> bool:
                return await service.weights("emea") == {"1": 50, "2": 50}

            await until(has_begun)

            async def is_well() -> bool:
                seen = await service.conditions()
                there, here = seen["project sales"]["is_well"], seen["project emea"]["is_well"]
                return bool(seen["is_ready"] and seen["cloud"]["is_well"] and here and not there)

            await until(is_well)
            agents = await service.agents()
            assert {name: agent["is_gone"] for name, agent in agents.items()} == {
                "emea/support": False,
                "sales/support": False,
            }
            proxy.restore()

            async def is_back() -> bool:
                return bool((await service.conditions())["project sales"]["is_well"])

            await until(is_back)
    finally:
        await proxy.close()


async def test_a_project_that_is_taken_out_stays_remembered_and_comes_back(foundry: str, tmp_path: Path) -> None:
    projects = two(foundry, tmp_path)

    async def is_said(service: Service, agent: str, *, is_readable: bool) -> bool:
        known = (await service.agents()).get(agent)
        return known is not None and (known["unreadable"] is None) is is_readable

    async with serving(tmp_path, projects) as service:
        for project in service.clouds:
            await service.create(project)
        await until(lambda: is_said(service, "emea/support", is_readable=True))
    async with serving(tmp_path, {"sales": projects["sales"]}) as service:
        await until(lambda: is_said(service, "emea/support", is_readable=False))
        await until(lambda: is_said(service, "sales/support", is_readable=True))
        why = "project emea is no longer among FOUNDRY_ROLLOUTS_PROJECTS: nobody watches its agents"
        assert (await service.agents())["emea/support"]["unreadable"] == why
        gone = (await service.conditions())["project emea"]
        assert (gone["is_well"], gone["is_essential"]) == (False, False)
        asked = {"agent": "emea/support", "version": "1"}
        refused = await service.api.post("/api/v1/rollouts", json=asked)
        assert refused.status_code >= 400
    async with serving(tmp_path, projects) as service:
        await until(lambda: is_said(service, "emea/support", is_readable=True))
