"""The laws of a judge that is used in the world, each on a stream of rows of five seconds with a hundred calls.

A shared outage is no harm, nor is it where one version goes unheard; it is no proof either. One that is over breaks no
ceiling at 100. A dead canary at 100 does not stay.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry_rollouts.cli.app import main

POLICY = """
name: any
agents: ["*"]
steps: [{weight: 10, min: 1m}, {weight: 50, min: 5m}, {weight: 100, min: 30m}]
gates: [{error-rate: {max: 20%}}]
"""
HEADER = "seconds,canary_weight,canary_calls,canary_failures,stable_calls,stable_failures"
Row = tuple[int, int, int, int, int, int]


def rows(
    weight: int, begin: int, until: int, rate: float, *, canary_rate: float | None = None, heard: str = "both"
) -> Iterator[Row]:
    """Yield rows from ``begin`` seconds on: a hundred calls each, failing at ``rate``; a version may go unheard."""
    for second in range(begin + 5, until + 1, 5):
        canary = weight if heard != "stable" else 0
        stable = 100 - weight if heard != "canary" else 0
        failing = rate if canary_rate is None else canary_rate
        number = second // 5
        yield second, weight, canary, _failures(canary, failing, number), stable, _failures(stable, rate, number)


def _failures(calls: int, rate: float, number: int) -> int:
    """Return how many of the ``number``th hundred fail, so that they come to ``rate`` over time."""
    return int(calls * rate * number) - int(calls * rate * (number - 1))


def decided(tmp_path: Path, capsys: pytest.CaptureFixture[str], *parts: Iterator[Row]) -> list[dict[str, object]]:
    policy, counts = tmp_path / "policy.yaml", tmp_path / "counts.csv"
    policy.write_text(POLICY, "utf-8")
    lines = [",".join(map(str, row)) for part in parts for row in part]
    counts.write_text("\n".join([HEADER, *lines]) + "\n", "utf-8")
    assert main(["policy", "backtest", "--policy", str(policy), "--counts", str(counts), "--output", "json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def moves(judged: list[dict[str, object]]) -> set[object]:
    return {row["decision"] for row in judged}


BACK = {"rollback", "step-back", "disable", "pause"}


@pytest.mark.parametrize("weight", [10, 50])
def test_a_shared_outage_is_no_harm_and_no_proof(
    weight: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = rows(weight, 0, 50, 0.01)
    judged = decided(tmp_path, capsys, calm, rows(weight, 50, 1250, 0.3), rows(weight, 1250, 1850, 0.01))
    assert not moves(judged) & BACK
    outage = [row for row in judged if 70 < int(str(row["seconds"])) <= 1250]
    assert {row["decision"] for row in outage} == {"hold"}
    assert {row["verdict"] for row in outage} == {"shared-trouble"}
    assert judged[-1]["decision"] == "advance"


@pytest.mark.parametrize("heard", ["canary", "stable"])
@pytest.mark.parametrize("weight", [10, 50])
def test_a_shared_outage_in_which_one_version_goes_unheard_is_no_harm(
    weight: int, heard: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = decided(
        tmp_path, capsys,
        rows(weight, 0, 300, 0.01), rows(weight, 300, 600, 0.3, heard=heard), rows(weight, 600, 1200, 0.01),
    )  # fmt: skip
    assert not moves(judged) & BACK


def test_versions_that_are_heard_by_turns_are_not_each_others_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [rows(50, 0, 300, 0.01)]
    for begin in range(300, 900, 10):
        parts += [
            rows(50, begin, begin + 5, 0.01, heard="stable"),
            rows(50, begin + 5, begin + 10, 0.3, heard="canary"),
        ]
    judged = decided(tmp_path, capsys, *parts, rows(50, 900, 1000, 0.01))
    assert not moves(judged) & BACK


def test_nothing_is_proved_of_a_canary_that_is_not_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stable's bad time alone is heard, then both in calm: what is bad stays unproved by what nobody compared."""
    outage = rows(10, 0, 1200, 0.3, heard="stable")
    judged = decided(tmp_path, capsys, outage, rows(10, 1200, 1400, 0.01, canary_rate=0.05))
    unheard = [row for row in judged if int(str(row["seconds"])) <= 1200]
    assert {row["decision"] for row in unheard} == {"hold"}
    assert all(abs(float(str(row["safe_log10"]))) < 1e-9 for row in unheard)
    assert "advance" not in moves(judged)


def test_an_outage_that_is_over_breaks_no_ceiling_at_100(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All calls of both failed for ten minutes at 50; at 100 all is well."""
    judged = decided(
        tmp_path, capsys,
        rows(50, 0, 600, 0.01), rows(50, 600, 1200, 1.0), rows(50, 1200, 1800, 0.01), rows(100, 1800, 3600, 0.01),
    )  # fmt: skip
    assert not moves(judged) & BACK
    assert judged[-1]["decision"] == "promote"


def test_a_dead_canary_at_100_goes_back_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = decided(tmp_path, capsys, rows(50, 0, 600, 0.01), rows(100, 600, 900, 0.01), rows(100, 900, 1500, 1.0))
    first = next(row for row in judged if row["decision"] in BACK)
    assert (first["decision"], first["seconds"]) == ("step-back", 905)
    assert str(first["because"]).startswith("stepped back to 50% because canary ")
    assert "promote" not in moves(judged)
