"""What to expect of policies, on the command line."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from component.cli.conftest import Inside
from foundry_rollouts.cli.staircase import WIDTH, staircase

POLICY = """\
name: a
agents: ["*"]
steps:
  - {weight: 10, min: 1m, max: 10m}
  - approval: {}
  - {weight: 100}
deadline: 30m
"""
FITTING = """\
name: b
agents: [b]
steps: [{weight: 50, min: 30m}, {weight: 100, min: 30m}]
sources: {probe: {every: 1s, pairs: 10}}
"""


VALUED = """\
name: c
agents: [c]
steps: [{weight: 10, min: 30m}, {weight: 100, min: 30m}]
sources:
  probe: {every: 1s, pairs: 10}
  http: {url: "https://h/{version}", calls: /calls, failures: /failed, values: {cost: /cost}}
gates:
  - error-rate: {}
  - value: {name: cost, max: 5, at-most: 1.2x, windows: 4}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(POLICY)
    (tmp_path / "b.yaml").write_text(FITTING)
    return tmp_path


def test_people_see_times_samples_a_picture_and_warnings(folder: Path, inside: Inside) -> None:
    done = inside("policy", "plan", "a.yaml", "--rps", "0.2")
    assert done.code == 0
    assert done.lines[0] == "policy a at 0.2 rps, 1% of calls fail on stable"
    assert done.lines[1].startswith("a good version is promoted after about ")
    assert done.lines[1].endswith(", approvals (1) left out")
    assert done.lines[2].startswith("it would take ")
    assert "10% │█" in done.out
    assert "a bake" in done.out
    assert "WEIGHT  TWICE" in done.out
    assert any("cannot see a 2 pp regression within its 10m step of 10% at 0.2 rps" in line for line in done.errors)


def test_programs_see_seconds(folder: Path, inside: Inside) -> None:
    done = inside("policy", "plan", "b.yaml", "--stable-rate", "0.5%", "--output", "json")
    plan = json.loads(done.out)
    assert (plan["policy"], plan["rps"], plan["stable_rate"], done.err) == ("b", 2, 0.005, "")
    step, bake = plan["steps"]
    assert step["lasts_seconds"] == 1800 > step["proof_seconds"] > bake["proof_seconds"]
    assert plan["until_promoted_seconds"] == step["lasts_seconds"] + bake["lasts_seconds"]
    assert (plan["faster"], plan["warnings"], plan["notes"]) == ({}, [], [])
    assert list(step["seen_after_seconds"]) == ["twice", "+2 points", "+10 points", "dead"]


def test_people_and_programs_see_how_soon_a_number_decides(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "c.yaml").write_text(VALUED)
    lines = inside("policy", "plan", "c.yaml").lines
    assert lines[-3:] == [
        "a number out of its bounds is found out, and one within them is proved, in each step after about",
        "GATE        SOURCE  HAS TO BE                         WINDOWS                     DECIDES AFTER",
        "value:cost  http    at most 5, at most 1.2x stable's  4 in a row of 30s, 5s late  2m5s",
    ]
    plan = json.loads(inside("policy", "plan", "c.yaml", "--output", "json").out)
    assert plan["values"] == [
        {
            "gate": "value:cost",
            "source": "http",
            "bounds": {"min": None, "max": 5, "at_least": None, "at_most": 1.2},
            "windows": 4,
            "window_seconds": 30,
            "delay_seconds": 5,
            "decides_after_seconds": 125,
            "dry_run": False,
        }
    ]


def test_a_folder_is_planned_policy_by_policy_and_an_agent_finds_its_own(folder: Path, inside: Inside) -> None:
    both = json.loads(inside("policy", "plan", ".", "--output", "json").out)
    own = json.loads(inside("policy", "plan", ".", "--agent", "b", "--output", "json").out)
    assert [plan["policy"] for plan in both] == ["a", "b"]
    assert own == both[1]
    assert inside("policy", "plan", ".").out.count("a good version is promoted") == 2


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["b.yaml", "--agent", "c"], "error: no policy names the agent c: add it to the agents of one"),
        (["empty"], "empty:1:1: there is no policy here: write one, as NAME.yaml"),
        (
            ["b.yaml", "--stable-rate", "1"],
            "error: invalid value for '--stable-rate': '1' is not a percentage: write for",
        ),
        (["b.yaml", "--rps", "-1"], "error: invalid value for '--rps': Input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_wish_is_told(folder: Path, inside: Inside, args: list[str], complaint: str) -> None:
    (folder / "empty").mkdir()
    done = inside("policy", "plan", *args)
    assert (done.code in {1, 2}, done.out) == (True, "")
    assert done.errors[0].startswith(complaint)


def test_lint_warns_of_what_is_legal_and_foolish(folder: Path, inside: Inside) -> None:
    done = inside("policy", "lint", "a.yaml", "b.yaml", "--rps", "0.2")
    assert (done.code, done.out) == (0, "2 policies are in order\n")
    assert done.errors[1].startswith(
        "a.yaml:4:5: steps[0]: warning: this policy cannot see a 2 pp regression within its 10m step of 10% at 0.2 rps"
    )
    assert any(line.startswith("a.yaml:7:11: deadline: warning: promotion takes about ") for line in done.errors)
    assert done.errors[-1] == (
        "a.yaml:6:5: steps[2]: warning: 100% is a bake, and its 1m are all the time in which it is watched: "
        "write min: 5m"
    )
    assert not any(line.startswith("b.yaml") for line in done.errors)


def test_strict_lint_fails_on_warnings_only(folder: Path, inside: Inside) -> None:
    doubtful = inside("policy", "lint", "a.yaml", "--strict")
    fitting = inside("policy", "lint", "b.yaml", "--strict")
    assert (doubtful.code, doubtful.out) == (2, "")
    assert doubtful.errors[-1].startswith("error: the policies are valid but risky, ")
    assert (fitting.code, fitting.out, fitting.err) == (0, "1 policy is in order\n", "")


def test_a_note_is_shown_and_is_no_warning(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "c.yaml").write_text(VALUED)
    noted = inside("policy", "lint", "c.yaml", "--strict")
    assert (noted.code, noted.out) == (0, "1 policy is in order\n")
    assert noted.errors == [
        "c.yaml:6:9: sources.http: note: http knows no sessions: how many calls fail together is learnt from stable's "
        "failures, and until then its evidence counts less: write cluster: 1 where each fails on its own"
    ]
    plan = json.loads(inside("policy", "plan", "c.yaml", "--output", "json").out)
    assert (plan["warnings"], len(plan["notes"])) == ([], 1)


MINUTE = timedelta(minutes=1)


def test_the_picture_is_a_staircase_in_time() -> None:
    lines = staircase([(10, 10 * MINUTE), (50, 30 * MINUTE), (100, 20 * MINUTE)])
    assert lines == [
        "100% │" + 40 * " " + 20 * "█",
        " 50% │" + 10 * " " + 30 * "█",
        " 10% │" + 10 * "█",
        "     └" + WIDTH * "─",
        "      0      10m                           40m                  1h",
    ]


def test_the_picture_ends_with_a_step_that_has_no_end() -> None:
    lines = staircase([(10, 10 * MINUTE), (50, None), (100, MINUTE)])
    assert lines[:2] == [" 50% │" + 45 * " " + 15 * "?", " 10% │" + 45 * "█"]
    assert lines[-1].split() == ["0", "10m"]


def test_the_picture_shows_steps_that_take_no_time() -> None:
    assert staircase([(10, timedelta(0)), (100, timedelta(0))]) == [
        "100% │  ██",
        " 10% │██",
        "     └────",
        "      0 0s",
    ]
