"""The bench of scale: the real client takes its light Foundry, its verdicts follow from its figures, and it runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from math import inf
from pathlib import Path

import pytest

from foundry_rollouts.cli.app import main
from foundry_rollouts.cli.scale.cloud import CANARY, STABLE, Cloud, name_of
from foundry_rollouts.cli.scale.database import a_database
from foundry_rollouts.cli.scale.figures import Figures, Floor, Idle, Level, Reaction, Share, Storm, lag, percentile
from foundry_rollouts.cli.scale.stage import scrape_of
from foundry_rollouts.cli.scale.verdicts import goals, tables
from foundry_rollouts.cli.scale.wire import PROJECT, Connection
from foundry_rollouts.clock import now
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.ports import VersionStatus
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics


@asynccontextmanager
async def served(cloud: Cloud, delay: float = 0.0) -> AsyncIterator[FoundryClient]:
    """Serve ``cloud`` on a socket, and open the client that the service has."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(cloud, delay), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FoundryClient(f"http://127.0.0.1:{port}{PROJECT}", FixedToken()) as client:
        yield client
    server.close()


@pytest.mark.parametrize("count", [0, 1, 100, 250])
async def test_the_client_lists_every_agent_once_by_pages(count: int) -> None:
    cloud = Cloud()
    cloud.show(count)
    async with served(cloud) as client:
        agents = [agent async for agent in client.agents()]
    assert [agent.name for agent in agents] == [name_of(number) for number in range(count)]
    assert all(agent.unreadable is None and agent.routing == Routing.of({"1": 90, "2": 10}) for agent in agents)
    assert cloud.requests == {"list": max(1, -(-count // 100))}


async def test_the_client_reads_an_agent_and_its_versions_and_routes_it() -> None:
    cloud = Cloud()
    cloud.show(3)
    async with served(cloud, delay=0.001) as client:
        agent = await client.agent(name_of(1))
        assert agent.latest is not None
        assert (agent.latest.version, agent.latest.status, agent.protocols) == (
            CANARY,
            VersionStatus.ACTIVE,
            ("responses",),
        )
        assert (await client.version(name_of(1), STABLE)).version == STABLE
        assert [each.version for each in await client.versions(name_of(1))] == [CANARY, STABLE]
        assert await client.route(name_of(1), Routing.of({STABLE: 100}))
        assert (await client.agent(name_of(1))).routing == Routing.of({STABLE: 100})
        assert (await client.agent(name_of(2))).routing == Routing.of({STABLE: 90, CANARY: 10})
        with pytest.raises(CloudError, match="no such thing"):
            await client.agent("another")
    assert [(each.agent, each.canary) for each in cloud.routed] == [(name_of(1), 0)]


async def test_requests_that_come_together_are_answered_in_order() -> None:
    cloud = Cloud()
    cloud.show(20)
    async with served(cloud) as client:
        agents = await asyncio.gather(*(client.agent(name_of(number)) for number in range(20)))
    assert [agent.name for agent in agents] == [name_of(number) for number in range(20)]


def test_the_one_who_measures_learns_what_was_routed_since() -> None:
    cloud = Cloud()
    cloud.control("/_bench/report", {"agents": "2"})
    body = {"agent_endpoint": {"version_selector": {"version_selection_rules": [
        {"type": "FixedRatio", "agent_version": STABLE, "traffic_percentage": 100}
    ]}}}  # fmt: skip
    for agent in (name_of(0), name_of(1), name_of(1)):
        assert cloud.answer("PATCH", f"/agents/{agent}", {}, json.dumps(body).encode())[0] == 200
    status, report = cloud.control("/_bench/report", {"since": "1"})
    assert status == 200
    assert [each[1:] for each in json.loads(report)["routed"]] == [[name_of(1), 0]], "a repeated change is none"
    assert json.loads(report)["total"] == 2


# --- what follows from figures

GOOD = Level(
    rollouts=10_000,
    seconds=30,
    ticks=10_000,
    lag_p50=0.1,
    lag_p99=1.0,
    processor_ms=2.9,
    statements=4,
    commits=1,
    cloud_calls=1,
    cloud_ms=0.1,
    core=0.97,
    memory_mib=900,
    healthz_p99_ms=49,
    metrics_seconds=0.2,
    series=900,
    growth_mib_hour=100,
    restart_seconds=4.9,
)


def all_met() -> Figures:
    return Figures(
        "PostgreSQL",
        2,
        levels=[replace(GOOD, rollouts=10), GOOD],
        idle=Reaction(20, 0.05, 0.149, 20),
        loaded=Reaction(10_000, 0.5, 0.99, 60),
        storm=Storm(9_940, 0.5, 30.0),
        share=Share(4_750, 10_000),
        floor=Floor(0.5, 0.2, 0.2),
        agents=Idle(50_000, 300, 0.1, 50),
    )


def test_every_goal_is_met_at_its_edge() -> None:
    found = goals(all_met())
    assert len(found) == 17
    assert [goal.goal for goal in found if not goal.is_met] == []


@pytest.mark.parametrize(
    ("worse", "goal"),
    [
        ({"levels": [replace(GOOD, lag_p99=2.5)]}, "rollouts carried"),
        ({"levels": [replace(GOOD, processor_ms=3.1)]}, "processor a tick"),
        ({"levels": [replace(GOOD, statements=4.1)]}, "statements a tick"),
        ({"levels": [replace(GOOD, commits=1.1)]}, "commits a tick"),
        ({"levels": [replace(GOOD, healthz_p99_ms=51)]}, "/healthz"),
        ({"levels": [replace(GOOD, metrics_seconds=0.3)]}, "/metrics"),
        ({"levels": [replace(GOOD, restart_seconds=5.1)]}, "restart"),
        ({"levels": [replace(GOOD, memory_mib=1025)]}, "memory"),
        ({"levels": [replace(GOOD, processor_ms=3.4)]}, "ticks a second"),
        ({"idle": Reaction(20, 0.05, 0.15, 20)}, "evidence until the PATCH, idle"),
        ({"loaded": Reaction(20, 0.05, 0.1, 20, missing=1)}, "evidence until the PATCH, under load"),
        ({"share": Share(4_400, 10_000)}, "share of a second replica"),
        ({"share": Share(0, 0)}, "share of a second replica"),
        ({"storm": Storm(9_940, 0.5, inf, missing=3)}, "canaries that fail"),
        ({"floor": Floor(0.1, 0.1, 0.1)}, "raw floor"),
        ({"agents": Idle(50_000, 301, 0.1, 49)}, "memory (50 000 idle agents)"),
        ({"agents": Idle(50_000, 300, 0.11, 49)}, "part of a core"),
        ({"agents": Idle(50_000, 300, 0.1, 51)}, "/healthz p99 (50 000 idle agents)"),
    ],
)
def test_each_goal_is_missed_by_its_own_figure(worse: dict[str, object], goal: str) -> None:
    missed = [each for each in goals(replace(all_met(), **worse)) if not each.is_met]  # type: ignore[arg-type]
    assert any(each.goal.startswith(goal) for each in missed)
    assert all(each.verdict == "NO" for each in missed)


def test_what_was_not_measured_has_no_goal_and_few_rollouts_leave_the_first_one_open() -> None:
    assert goals(Figures("SQLite", 2)) == []
    found = goals(Figures("SQLite", 2, levels=[replace(GOOD, rollouts=100)]))
    assert (found[0].measured, found[0].verdict) == ("100, the most that were tried", "more runs needed")
    assert not any(goal.goal.startswith("ticks a second") for goal in found), "one writer is no goal of ours"


def test_a_level_that_does_not_keep_up_says_what_was_carried_before_it() -> None:
    found = goals(Figures("SQLite", 2, levels=[replace(GOOD, rollouts=1_000), replace(GOOD, lag_p99=60)]))
    assert (found[0].measured, found[0].verdict) == ("1 000", "NO")


def test_tables_show_what_was_measured() -> None:
    figures = replace(all_met(), profile={"samples": 10, "own": [("a.py:f", 5)], "within": [("b.py:g", 10)]})
    titles = [table.title.partition(":")[0] for table in tables(figures)]
    assert titles == ["Growth curve", "Raw floor, processor ms", *["Where the processor's time goes"] * 2]
    assert all(len(row) == len(table.columns) for table in tables(figures) for row in table.rows)


def test_a_lag_is_of_the_ticks_between_two_scrapes() -> None:
    before, after = {0.1: 5.0, 1.0: 5.0, inf: 5.0}, {0.1: 55.0, 1.0: 104.0, inf: 105.0}
    assert lag(before, after, 50) == 0.1
    assert lag(before, after, 99) == 1.0
    assert lag(before, after, 100) == inf
    assert lag(after, after, 99) == 0.0
    assert lag({}, {}, 99) == 0.0


def test_percentiles_of_few_values() -> None:
    assert percentile([], 99) == 0.0
    assert percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


def test_the_lags_of_a_service_are_read_from_its_metrics() -> None:
    metrics = Metrics()
    for seconds in (0.05, 0.05, 0.7, 400):
        metrics.tick_lag(seconds)
    scrape = scrape_of(metrics.render()[0].decode(), 0.5)
    assert (scrape.seconds, scrape.ticks) == (0.5, 4)
    assert (scrape.lags[0.1], scrape.lags[1.0], scrape.lags[300.0], scrape.lags[inf]) == (2, 3, 3, 4)
    assert scrape.series > len(scrape.lags)


async def test_a_database_says_who_holds_what_and_how_large_it_is(tmp_path: Path) -> None:
    async with a_database(None, tmp_path) as database:
        store = SqlStore(database.url, replica="one", lease=timedelta(minutes=1))
        assert await store.claim("scale-000000", now()) is not None
        await store.close()
        assert await database.held() == {"one": 1}
        assert await database.size() > 0
        await database.do("UPDATE leases SET replica = NULL")
        assert await database.held() == {}


# --- the command


def test_a_quick_run_measures_the_real_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "scale", "--quick", "--part", "curve", "--part", "storm", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["figures"]
    (level,) = found["levels"]
    assert (found["database"], level["rollouts"]) == ("SQLite", 10)
    assert level["series"] > 100
    assert level["memory_mib"] > 10
    assert level["processor_ms"] > 0
    assert (found["storm"]["canaries"], found["storm"]["missing"]) == (10, 0)
    assert found["profile"]["samples"] > 0
    assert found["share"] is None


def test_another_database_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "scale", "--quick", "--database", "mysql://localhost/x"]) == 2
    assert "only postgresql://host/name is a server" in capsys.readouterr().err
