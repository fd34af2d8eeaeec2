"""Agent commands where several projects are set: which one a command works on, never another by chance."""

import json
from collections.abc import Callable

import pytest

from command_line import Outcome
from component.cli.engineer import Engineer

Run = Callable[..., Outcome]


@pytest.fixture
def run(engineer: Engineer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``foundry-rollouts agent`` where two projects are set: ``here`` and one that nobody serves."""
    engineer.an_image("a")
    here = {"endpoint": engineer.endpoint, "credential": "emulator"}
    away = {"endpoint": "http://127.0.0.1:9/api/projects/away", "credential": "emulator"}
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_PROJECTS", json.dumps({"here": here, "away": away}))
    return lambda *words: engineer.inside("agent", *words)


def test_an_agent_is_named_with_its_project_or_the_project_by_an_option(run: Run) -> None:
    for words in (("show", "here/a"), ("show", "a", "--project", "here"), ("show", "here/a", "--project", "here")):
        done = run(*words, "--output", "json")
        assert (done.code, json.loads(done.out)["name"]) == (0, "a")
    assert json.loads(run("list", "--project", "here", "--output", "json").out)[0]["name"] == "a"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "a"), "there are several projects: write PROJECT/AGENT or --project NAME, of here, away"),
        (("list",), "there are several projects: write PROJECT/AGENT or --project NAME, of here, away"),
        (("show", "gone/a"), "there is no project 'gone': write PROJECT/AGENT or --project NAME, of here, away"),
        (
            ("show", "here/a", "--project", "away"),
            "--project away and the agent's name, which begins with here/, disagree: leave out one",
        ),
    ],
)
def test_a_project_that_is_not_clear_is_refused_in_one_line(run: Run, words: tuple[str, ...], said: str) -> None:
    assert run(*words) == Outcome(2, "", f"error: {said}\n")


def test_an_address_outweighs_the_setting(engineer: Engineer, run: Run) -> None:
    done = engineer.run("show", "elsewhere/a", "--output", "json")
    assert (done.code, json.loads(done.out)["name"]) == (0, "a")


def test_a_project_is_not_known_where_one_is_set(engineer: Engineer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT", engineer.endpoint)
    for words in (("show", "other/a"), ("show", "a", "--project", "other")):
        done = engineer.inside("agent", *words)
        assert done.code == 2
        assert "project 'other' is not known: name it in FOUNDRY_ROLLOUTS_PROJECTS, or give its address" in done.err
