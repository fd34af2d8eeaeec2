"""What is measured: reproducible, whole, and reported in every form; the command line that asks for it."""

import csv
import io
import json
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from foundry_rollouts.bench.measures import judge, late, rollout, safe, share, wald, world
from foundry_rollouts.bench.measures.world import clusters, hanging, safety, trial
from foundry_rollouts.bench.report import Goal, Options, Report, Result, Table, geometric_mean, number, rare
from foundry_rollouts.bench.rules.registry import OURS_STRICT
from foundry_rollouts.bench.world.laws import Plan
from foundry_rollouts.bench.world.scene import Scene, Seen, lead
from foundry_rollouts.cli.app import main

FEW = Options(runs=2)


@pytest.mark.parametrize("measure", [safe, share], ids=lambda measure: measure.NAME)
def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(measure: ModuleType) -> None:
    once, again, other = (measure.measure(replace(FEW, seed=seed)) for seed in (1, 1, 2))
    assert once.as_data() == again.as_data()
    assert once.as_data() != other.as_data()
    assert once.goals
    assert all(len(row) == len(table.columns) for table in once.tables for row in table.rows)


def test_one_rule_alone_gives_the_numbers_that_it_has_among_all() -> None:
    alone = rollout.measure(replace(FEW, rules=("flagger 10",)))
    together = rollout.measure(replace(FEW, rules=("flagger", "argo")))
    assert alone.results == [each for each in together.results if each.rule.startswith("Flagger 10%")]
    assert not alone.goals


@pytest.mark.parametrize("law", list(world.RULES))
def test_each_rule_of_the_world_has_rows_results_and_goals(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def briefly(scene: Scene, plan: Plan, runs: int, dice: np.random.Generator) -> Seen:
        return lead(replace(scene, until=60.0), plan, runs, dice)

    monkeypatch.setattr(safety, "PLAN", replace(safety.PLAN, deadline=60.0))
    for module in (trial, clusters, hanging):
        monkeypatch.setattr(module, "lead", briefly)
    report = world.measure(Options(runs=1, rules=(law,)))
    (table,) = report.tables
    assert {row[0] for row in table.rows} == {law}
    assert all(len(row) == len(world.COLUMNS) for row in table.rows)
    assert {each.bench for each in report.results} == {"world"}
    assert {each.goal.partition(":")[0] for each in report.goals} <= {law}


def test_goals_compare_others_with_ours() -> None:
    report = rollout.measure(Options(runs=2, rules=(OURS_STRICT, "flagger 10")))
    goals = {goal.goal: goal for goal in report.goals}
    dead = goals["failures of Flagger 10%, a canary dead, over ours"]
    assert dead.is_met
    assert rollout.harm_ratio(report.results, OURS_STRICT, "5x") == pytest.approx(1.0)


def test_the_published_set_is_every_measure_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "PUBLISHED", (late, wald))
    report = judge.measure(replace(FEW, runs=1))
    assert {each.bench for each in report.results} == {"late", "wald"}
    assert len(report.goals) == 6


RESULT = Result("wald", "ours", 2.0, 0.01, "5x", "flat", "exact", 10, harm=3.5)
REPORT = Report(
    [RESULT], [Table("Harm", ("rule", "failures"), [("ours", "3.5")])], [Goal("harm", "<= 4", "3.5", is_met=True)]
)


@pytest.mark.parametrize(
    ("hits", "runs", "verdict"),
    [(0, 298, "more runs needed"), (0, 299, "yes"), (1, 200, "more runs needed"), (2, 199, "NO"), (11, 1000, "NO")],
)
def test_a_goal_of_rare_events_is_missed_only_where_they_are_not_rare(hits: int, runs: int, verdict: str) -> None:
    assert rare("false rollbacks", hits, runs).verdict == verdict


def test_a_report_is_markdown_with_the_goals_at_its_end() -> None:
    text = REPORT.as_markdown()
    assert "**Harm**\n\n| rule | failures |\n| --- | --- |\n| ours | 3.5 |\n" in text
    assert text.endswith("| harm | <= 4 | 3.5 | yes |\n")


def test_a_report_is_csv_with_a_line_for_each_cell() -> None:
    (row,) = csv.DictReader(io.StringIO(REPORT.as_csv()))
    assert (row["rule"], row["harm"], row["rolled_back"]) == ("ours", "3.5", "")


def test_numbers_have_three_digits_and_a_dash_stands_for_none() -> None:
    assert [number(each) for each in (0.12345, 12.345, 1234.5, None, float("inf"))] == [
        "0.123",
        "12.3",
        "1234",
        "-",
        "-",
    ]
    assert geometric_mean([1.0, 100.0]) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("form", "begins"), [("csv", "bench,rule,"), ("json", "{"), ("markdown", "**"), ("table", "\n")]
)
def test_the_command_writes_every_form(form: str, begins: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "share", "--runs", "1", "--output", form]) == 0
    written = capsys.readouterr()
    assert written.out.startswith(begins)
    assert written.err == "measured: share\n"
    if form == "json":
        assert {each["rule"] for each in json.loads(written.out)["results"]} == set(share.RULES)


def test_without_numpy_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert main(["bench", "judge"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: the measurements need numpy, which is not installed: install foundry-rollouts[bench]"
