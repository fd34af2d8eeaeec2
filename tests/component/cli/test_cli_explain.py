"""Why, on the command line: with the inputs, from which the same evidence comes out."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from command_line import Outcome
from component.cli.conftest import Service
from foundry_rollouts.cli.explain import _rows
from foundry_rollouts.cli.output import Item
from foundry_rollouts.core.model.effects import OnSplit
from small_world import CostlySource, SmallWorld, a_costly_policy
from users_world import UsersSource, a_users_policy

POLICY = """\
name: support
agents: ["support-*"]
steps: [{weight: 10, min: 10s}, {weight: 50, min: 10s}, {weight: 100, min: 10s}]
judge: {bad: 3x + 20pp}
"""


@pytest.fixture
async def told(service: Service, capsys: pytest.CaptureFixture[str]) -> Service:
    """Return a service that remembers a rollout that failed at 50."""
    world = SmallWorld(lambda _: service.store, bad_from=50)
    await world.begin()
    await world.run()
    capsys.readouterr()  # what the ticks logged
    (service.folder / "p.yaml").write_text(POLICY)
    return service


async def backtested(told: Service, *options: str) -> Outcome:
    return await asyncio.to_thread(told.inside, "policy", "backtest", "--policy", "p.yaml", *options)


async def test_people_see_decisions_counts_and_odds(told: Service) -> None:
    done = await told.run("explain", "r-1")
    assert (done.code, done.err) == (0, "")
    assert done.lines[0] == (
        "rollout r-1 of support-r-1: version 2 against version 1 under policy support, rolled back"
    )
    assert "harm is proved at evidence 100 : 1 that it is worse than 1.2x stable" in done.out
    (head,) = [line for line in done.lines if "  rollout.rolled_back  " in line]
    assert head.endswith("version 1 at 100%")
    row = next(line for line in reversed(done.lines) if line.startswith("error-rate  probe"))
    assert "18 of 30" in row
    assert "100%" in row
    assert "computed again" not in done.out


async def test_people_see_numbers_beside_their_bounds(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    world = SmallWorld(lambda _: service.store, policy=a_costly_policy())
    world.source = CostlySource(world.cloud)
    await world.begin()
    await world.run()
    capsys.readouterr()
    lines = (await service.run("explain", "r-1")).lines
    head = next(place for place, line in enumerate(lines) if "WINDOW'S END" in line)
    assert lines[head].split("  ")[0] == "GATE"
    rows = [[cell.strip() for cell in line.split("  ") if cell] for line in lines[head + 1 : head + 3]]
    bounds = "at most 5, at most 1.2x stable's"
    assert [row[:2] + row[3:] for row in rows] == [
        ["value:cost", "http", "5", "4", bounds, "5 is above 1.2x stable's 4"],
        ["value:cost", "http", "5.5", "4", bounds, "5.5 is above 5"],
    ]
    assert lines[-1] == (
        "value:cost (2 windows in a row decide): fail, 5.5 is above 5, 2 windows in a row, seen by http"
    )


async def test_people_see_what_the_world_did_to_the_evidence(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = a_users_policy(warm_up=timedelta(seconds=10), on_split=OnSplit.NOTE)
    world = SmallWorld(lambda _: service.store, policy=policy)
    world.source = UsersSource(world.cloud, bad_from=100)
    await world.begin()
    await world.run()
    capsys.readouterr()
    lines = (await service.run("explain", "r-1")).lines
    assert lines[3] == (
        "the canary warms up for 10 s after each raise: only more than 25 points worse is harm then, and nothing is "
        "proved"
    )
    at = next(place for place, line in enumerate(lines) if "  rollout.stepped_back  " in line)
    head, row = lines[at + 3], lines[at + 4]
    assert head.split()[-3:] == ["CLUSTER", "GUARD", "TROUBLE"]
    assert row.startswith("error-rate  http")
    assert row.rstrip().endswith(": 1")
    assert any(
        line.endswith(" went to the canary, seen by http, which goes with the weight") and line.startswith("of ")
        for line in lines
    )


async def test_a_number_that_nobody_told_is_a_row_with_its_trouble(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SmallWorld(lambda _: service.store, policy=a_costly_policy())
    await world.begin()
    await world.run(ticks=3)
    capsys.readouterr()
    lines = (await service.run("explain", "r-1")).lines
    (row,) = [line for line in lines if line.startswith("value:cost  http")]
    assert row.split("  ")[-1].strip() == "at most 5, at most 1.2x stable's"
    assert lines[-1].startswith("value:cost (2 windows in a row decide): no-data, ")


async def test_programs_see_the_same(told: Service) -> None:
    done = await told.run("explain", "--agent", "support-r-1", "--output", "json")
    answer = json.loads(done.out)
    assert [decision["kind"] for decision in answer["decisions"]] == [
        "rollout.created",
        "rollout.started",
        "rollout.advanced",
        "rollout.rolled_back",
    ]


async def test_from_its_counts_the_same_evidence_is_computed_again(told: Service) -> None:
    answer = json.loads((await told.run("explain", "r-1", "--output", "json")).out)
    counts = (await told.run("explain", "r-1", "--counts", "probe")).out
    (told.folder / "c.csv").write_text(counts)
    again = await backtested(told, "--counts", "c.csv", "--output", "json")
    rows = [json.loads(line) for line in again.lines]
    (gate,) = answer["decisions"][-1]["gates"]
    (stratum,) = gate["strata"]
    assert rows[-1]["harm_log10"] == pytest.approx(stratum["harm_log10"], abs=1e-9)
    assert rows[-1]["safe_log10"] == pytest.approx(stratum["safe_log10"], abs=1e-9)
    assert [row["decision"] for row in rows] == ["advance", "rollback"]


def test_what_was_counted_late_stands_in_the_row_of_its_window() -> None:
    def counted(start: int, end: int, calls: int, failures: int) -> Item:
        at = (f"2026-03-02T12:00:{second:02}+00:00" for second in (start, end))
        canary, stable = {"calls": calls, "failures": failures}, {"calls": 9, "failures": 0}
        return {"source": "logs", **dict(zip(("start", "end"), at, strict=True)), "canary": canary, "stable": stable}

    measured = [counted(0, 10, 4, 0), counted(10, 20, 5, 1), counted(0, 10, 1, 1), counted(20, 30, 2, 0)]
    explained = {
        "canary": "2",
        "decisions": [
            {"measurements": [], "weights": {"1": 90, "2": 10}},
            {"measurements": measured, "weights": {"1": 100}},
        ],
    }
    assert list(_rows(explained, "logs")) == [
        "10.000000,10,5,1,18,0",
        "20.000000,10,5,1,9,0",
        "30.000000,10,2,0,9,0",
    ]


async def test_a_source_that_counted_nothing_is_told(told: Service) -> None:
    done = await told.run("explain", "r-1", "--counts", "logs")
    assert (done.code, done.out) == (1, "")
    assert done.errors == ["error: logs counted nothing here: name one of probe"]


async def test_an_unknown_rollout_is_told(told: Service) -> None:
    done = await told.run("explain", "r-0")
    assert (done.code, len(done.errors)) == (1, 1)


async def test_the_past_is_judged_under_another_policy(told: Service, tmp_path: Path) -> None:
    database = ("--database-url", f"sqlite:///{tmp_path}/history.db")
    as_table = await backtested(told, *database)
    as_json = await backtested(told, *database, "--output", "json")
    as_yaml = await backtested(told, *database, "--output", "yaml")
    nobody = await backtested(told, *database, "--agent", "nobody")
    (row,) = map(json.loads, as_json.lines)
    assert YAML(typ="safe").load(as_yaml.out) == [row]
    assert (row["rollout"], row["happened"], row["would"]) == ("r-1", "rolled_back", "waiting")
    assert as_table.lines[1].startswith("r-1      support-r-1  2       rolled back after ")
    assert (nobody.code, nobody.out, nobody.err) == (0, "", "there is nothing to judge yet\n")


async def test_counts_and_rollouts_are_not_judged_at_once(told: Service) -> None:
    done = await backtested(told, "--counts", "c.csv", "--agent", "support-r-1")
    assert done.errors == ["error: --counts is judged by itself: leave out --agent and --database-url"]
    assert done.code == 2
