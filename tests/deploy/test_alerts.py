"""The alerts that we ship: each says what to do and about whom, each is tried, and mistakes in them are found."""

import shutil
from pathlib import Path

import pytest

from tools.monitoring import (
    PROMETHEUS,
    RUNBOOK,
    anchors,
    faults_of_alert,
    faults_of_query,
    in_yaml,
    known_metrics,
    rules,
    untested,
)
from tools.repository import said
from tools.system_packages import found

ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
PROMTOOL = found("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing (Debian: apt-get install prometheus): the alert rules are not tried"
)


def tried(folder: Path) -> str:
    assert PROMTOOL is not None
    return said(PROMTOOL, "test", "rules", "alerts.test.yml", folder=folder)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_an_urgency_texts_a_page_and_a_query_that_fits(name: str) -> None:
    assert list(faults_of_alert(ALERTS[name], known_metrics(), anchors(RUNBOOK))) == []


def test_recorded_series_come_from_metrics_that_exist() -> None:
    recorded = rules("recording.yml")
    assert [fault for rule in recorded for fault in faults_of_query(rule["expr"], known_metrics())] == []


def test_an_alert_about_an_agent_names_it() -> None:
    groups = {group["name"]: group["rules"] for group in in_yaml(PROMETHEUS / "alerts.yml")["groups"]}
    about = [*groups["foundry-rollouts-agents"], *groups["foundry-rollouts-rollouts"]]
    assert [rule["alert"] for rule in about if "$labels.agent" not in rule["annotations"]["summary"]] == []


def test_every_alert_is_shown_firing_and_silent() -> None:
    assert untested(ALERTS, in_yaml(PROMETHEUS / "alerts.test.yml")) == set()


def test_a_planted_mistake_in_an_alert_is_found() -> None:
    good = ALERTS["FoundryRolloutsRolledBack"]
    texts = good["annotations"]
    planted = (
        {**good, "labels": {"severity": "urgent"}},
        {**good, "annotations": {**texts, "runbook_url": texts["runbook_url"] + "s"}},
        {**good, "annotations": {name: text for name, text in texts.items() if name != "summary"}},
        {**good, "expr": "foundry_rollouts_rollout_phases == 1"},
        {**good, "expr": 'foundry_rollouts_rollout_phase{phase="rolledback"} == 1'},
        {**good, "expr": "max by (agent (foundry_rollouts_rollout_phase)"},
    )
    assert [len(list(faults_of_alert(each, known_metrics(), anchors(RUNBOOK)))) for each in planted] == [1] * 6


def test_an_alert_without_a_test_is_found() -> None:
    tests = in_yaml(PROMETHEUS / "alerts.test.yml")
    tests["tests"] = [each for each in tests["tests"] if "drift" not in each["name"]]
    assert untested(ALERTS, tests) == {"FoundryRolloutsDrift"}


@needs_promtool
@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("alerts.yml", 'outcome="given_up"', 'outcome="failed"'),
        ("alerts.yml", "foundry_rollouts_discovery_age_seconds > 300", "foundry_rollouts_discovery_age_seconds > 30"),
        ("recording.yml", "== 1", "== 0"),
        ("alerts.yml", "max by (agent) (", "max by (agent ("),
    ],
)
def test_promtool_finds_a_planted_mistake_in_a_rule(tmp_path: Path, file: str, right: str, wrong: str) -> None:
    folder = shutil.copytree(PROMETHEUS, tmp_path / "rules")
    text = (folder / file).read_text("utf-8")
    assert right in text
    (folder / file).write_text(text.replace(right, wrong, 1), "utf-8")
    with pytest.raises(AssertionError, match="test rules"):
        tried(folder)
