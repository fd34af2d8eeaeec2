"""The first byte of pages: every request is timed, in every form, and the same seed makes the same crowd."""

import json

import pytest

from foundry_rollouts.cli.app import main

ASKED = ["/healthz", "/", "/?q=99", "/api/v1/agents"]


def test_every_request_is_timed_and_has_its_goal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "pages", "--agents", "100", "--runs", "2", "--seed", "3", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    *paths, rollout = [each["path"] for each in found["results"]]
    assert paths == ASKED
    assert rollout.startswith("/rollouts/rollout-of-")
    assert found["results"][0]["over_bare"] == 1
    for each in found["results"]:
        assert each["runs"] == 2
        assert 0 < each["median_ms"] <= each["p95_ms"]
    assert [goal["goal"] for goal in found["goals"]] == [
        "first byte, overview",
        "first byte, overview, a search",
        "first byte, agents by the API",
        "first byte, one rollout",
    ]
