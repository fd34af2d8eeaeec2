"""The first byte of pages: every request is timed, in every form, and the same seed makes the same crowd."""

import json

import pytest

from foundry_rollouts.cli.app import main

ASKED = {
    "/healthz": None,
    "/": "overview",
    "/?q=99": "overview, a search",
    "/history": "history",
    "/history?words=proved": "history, a search",
    "/rollouts/rollout-of-": "one rollout",
    "/api/v1/agents": "agents by the API",
    "/api/v1/agents?group=moving": "moving agents by the API",
    "/api/v1/rollouts": "rollouts by the API",
}
FEW = ["bench", "pages", "--agents", "100", "--moving", "12"]


def test_every_request_is_timed_and_has_its_goal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FEW, "--runs", "2", "--seed", "3", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["path"].partition("-of-")[0] for each in found["results"]] == [
        path.partition("-of-")[0] for path in ASKED
    ]
    assert found["results"][0]["over_bare"] == 1
    for each in found["results"]:
        assert each["runs"] == 2
        assert 0 < each["median_ms"] <= each["p95_ms"]
    assert [goal["goal"] for goal in found["goals"]] == [f"first byte, {name}" for name in ASKED.values() if name]


def test_more_agents_are_asked_for_where_too_many_would_move(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "pages", "--agents", "100", "--moving", "51"]) == 2
    assert "give more --agents" in capsys.readouterr().err
