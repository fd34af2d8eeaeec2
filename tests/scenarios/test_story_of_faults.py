"""Replicas that are killed, a database that is taken away at the worst moment: nothing is lost, nothing done twice."""

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fault_proxy import FaultProxy
from foundry_rollouts.cli.demo.stage import free_port
from storm.__main__ import blow, show
from storm.processes import Launcher, until_answers
from storm.scene import Plan, a_database, target_of, through
from town import AGENT, POLICY, Town

#: As long as the restoring may take; a busy machine needs some seconds for what takes one.
LEASE_SECONDS = 30


@pytest.fixture
async def database(testrun_uid: str) -> AsyncIterator[tuple[str, FaultProxy]]:
    """The address of a PostgreSQL database by way of a proxy, and the proxy."""
    with a_database(testrun_uid) as url:
        proxy = FaultProxy(target_of(url))
        await proxy.start()
        yield through(url, proxy.port), proxy
        await proxy.close()


@pytest.fixture
async def launcher(town: Town) -> AsyncIterator[Launcher]:
    launcher = Launcher(town.folder)
    yield launcher
    await launcher.stop()


async def serve(town: Town, launcher: Launcher, url: str) -> None:
    """Start a replica on the database at ``url`` and wait until it is ready."""
    policy = town.folder / "policy.yaml"
    policy.write_text(POLICY, "utf-8")
    settings = {
        "PROJECT_ENDPOINT": town.stage.endpoint,
        "CREDENTIAL": "emulator",
        "DATABASE_URL": url,
        "POLICIES": str(policy),
        "TICK_SECONDS": "0.5",
        "DISCOVERY_SECONDS": "1",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "LOG_FORMAT": "json",
    }
    replica = await launcher.replica("controller", free_port(), settings)
    await until_answers(f"{replica.address}/readyz", replica, town.folder)
    town.stage.server = replica.address


@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", ["cut", "silent"])
async def test_a_canary_that_fails_while_the_database_is_away_is_taken_back_at_once_and_recorded_later(
    town: Town, launcher: Launcher, database: tuple[str, FaultProxy], fault: str
) -> None:
    url, proxy = database
    broken = town.folder / "broken"
    await town.image("emulator://echo")
    await serve(town, launcher, url)
    await town.until_pinned("1")
    await town.source(Path(__file__).with_name("switch"), broken=str(broken))
    await town.until_step(2)

    if fault == "cut":
        await proxy.cut()
    else:
        proxy.hush()
    broken.touch()
    began = time.monotonic()

    async def restored() -> bool:
        return await town.weights() == {"1": 100}

    await town.until(restored)
    took = time.monotonic() - began
    print(f"database {fault}: {AGENT} served its stable version {took:.1f} s later")  # noqa: T201 - asked for
    assert took < LEASE_SECONDS
    proxy.restore()
    rollout = await town.until_phase("rolled_back")
    assert "failed (HTTP 500" in rollout["because"]
    moves = [kind for kind in await town.kinds() if kind not in {"held", "waiting"}]
    assert moves[:3] + moves[-1:] == ["created", "started", "advanced", "rolled_back"]
    assert moves.count("rolled_back") == 1
    ids = [event["id"] for event in await town.history()]
    assert len(ids) == len(set(ids))


@pytest.mark.timeout(900)
async def test_a_short_storm_over_three_replicas_breaks_no_law(tmp_path: Path, testrun_uid: str) -> None:
    verdict, lines = await blow(Plan(seconds=30, good=5, bad=3), tmp_path, testrun_uid)
    show(lines, verdict.wrong)
    assert verdict.wrong == []
    assert verdict.endings == {"promoted": 5, "rolled_back": 3}
    assert int(dict(lines)["killed by " + signal.SIGKILL.name]) > 0
