"""The logs of Microsoft's hosting library, as it really runs: what is counted is what its callers saw."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from builders import a_policy, a_rollout
from emulated import a_zip, code_definition, settled, upload
from foundry_rollouts import clock
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import LogsConfig, Sources
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.signals.logs import LogSource
from hosting_library import MAIN, Caller, an_installation
from patience import PATIENCE

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return an_installation(tmp_path_factory.mktemp("library") / "venv")


def the_trial() -> Rollout:
    sources = Sources(probe=None, logs=LogsConfig())
    policy = a_policy(sources=sources, gates=(Gate(GateKind.ERROR_RATE, ("logs",)),))
    begun = clock.now()
    return a_rollout(agent="a", phase=Phase.PROGRESSING, step=1, started_at=begun, step_started_at=begun, policy=policy)


async def call_in_all_ways(caller: Caller) -> None:
    for said in ("well", "before", "first", "during", "after", "logged"):
        for stream in (False, True):
            await caller.respond(said, stream=stream)
    await caller.respond(7, stream=False)  # no question: refused
    for said in ("well", "before", "refused"):
        await caller.invoke(said, stream=False)
    for said in ("well", "before", "first", "during"):
        await caller.invoke(said, stream=True)
    await asyncio.gather(*(caller.respond(said, stream=True) for said in ("well", "during", "well", "before")))


@pytest.fixture
async def project(cloud: httpx.Client) -> AsyncIterator[httpx.AsyncClient]:
    """Give the client of callers, in the project of ``cloud``."""
    async with httpx.AsyncClient(
        base_url=cloud.base_url, params=cloud.params, headers=cloud.headers, timeout=60
    ) as client:
        yield client


@pytest.mark.parametrize("server", ["hypercorn", "uvicorn"])
async def test_what_is_counted_is_what_callers_saw(
    cloud: httpx.Client, project: httpx.AsyncClient, library: Path, server: str
) -> None:
    for exporter in ("on", "off"):
        definition = code_definition("bundled", environment_variables={"SERVER": server, "EXPORTER": exporter})
        definition["code_configuration"]["entry_point"] = [str(library), "main.py"]
        created = await asyncio.to_thread(upload, cloud, "/agents/a/versions", a_zip({"main.py": MAIN}), definition)
        version = await asyncio.to_thread(settled, cloud, created.json())
        assert version["status"] == "active", version
    rollout = the_trial()
    async with FoundryClient(str(cloud.base_url), FixedToken()) as client:
        source = LogSource(client, clock.now)
        await source.measure(rollout, Window(clock.now(), clock.now()))
        callers = []
        for version_id in ("1", "2"):
            session = await client.open_session("a", version_id, f"session-of-{server}-{version_id}")
            callers.append(Caller(project, session.id))
        await until_followed(source, rollout, 2)
        for caller in callers:
            await call_in_all_ways(caller)
        seen = await counted(source, rollout, calls=callers[0].calls)
        await source.close()
    assert callers[0].failures >= 12
    for caller, counts in zip(callers, (seen.stable, seen.canary), strict=True):
        told = (counts.calls, counts.failures, counts.client_errors)
        assert told == (caller.calls, caller.failures, caller.mistakes), counts


async def until_followed(source: LogSource, rollout: Rollout, sessions: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while _open_streams(source, rollout) < sessions:  # noqa: ASYNC110 - nobody rings a bell here
            await asyncio.sleep(0.1)


def _open_streams(source: LogSource, rollout: Rollout) -> int:
    return sum(each.is_open for each in source._watches[rollout.id].followed.values())


async def counted(source: LogSource, rollout: Rollout, calls: int) -> Measurement:
    """Wait until so many calls were seen on both versions, and a little for any that should not be."""
    seen = Measurement("logs", Window(clock.now(), clock.now()), Counts(), Counts())
    for _ in range(5 * PATIENCE):
        if min(seen.stable.calls, seen.canary.calls) >= calls:
            break
        await asyncio.sleep(0.2)
        seen = await measured(source, rollout)
    await asyncio.sleep(2)
    return await measured(source, rollout)


async def measured(source: LogSource, rollout: Rollout) -> Measurement:
    """Return what was read so far, each call apiece: in measurements a session is one."""
    window = Window(rollout.created_at, clock.now())
    counts = {"1": Counts(), "2": Counts()}
    for seen in source._watches[rollout.id].tallies._seen:
        counts[seen.version] += seen.sample.as_counts()
    (units, _) = await source.measure(rollout, Window(rollout.created_at, clock.now().replace(year=2100)))
    assert max(units.stable.calls, units.canary.calls) <= 1
    return Measurement("logs", window, counts["1"], counts["2"])
