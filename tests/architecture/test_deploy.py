"""What we ship to be installed is in order, as the tools of its kind see it."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from foundry_rollouts.cli.policy_plan import warnings_in
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.policies.load import policies_in
from foundry_rollouts.settings import reference
from tools.repository import ROOT, said
from tools.system_packages import found

DEPLOY = ROOT / "deploy"


def in_yaml(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return list(YAML(typ="safe").load_all(path.read_text("utf-8")))


def test_the_examples_of_policies_are_in_order() -> None:
    assert {policy.name for policy in policies_in(DEPLOY / "policies")} == {
        "counted",
        "everyone",
        "on-request",
        "support-agent",
    }


def test_the_examples_of_policies_raise_no_doubt_at_the_traffic_that_they_name() -> None:
    traffic = re.compile(r"^# Fits agents of (\d+) calls a second, of which (\d+)% fail", re.MULTILINE)
    for path in sorted((DEPLOY / "policies").glob("*.yaml")):
        told = traffic.search(path.read_text("utf-8"))
        assert told, f"{path.name} names no traffic"
        assert list(warnings_in([path], Traffic(float(told[1]), int(told[2]) / 100))) == []


def test_only_settings_that_exist_are_set() -> None:
    texts = [ROOT / "Dockerfile", DEPLOY / "compose" / "compose.yaml", DEPLOY / "compose" / "example.env"]
    named = {name for path in texts for name in re.findall(r"FOUNDRY_ROLLOUTS_\w+", path.read_text("utf-8"))}
    assert named - {setting.variable for setting in reference()} == set()


def test_the_page_on_installing_lists_every_alert() -> None:
    rules = in_yaml(DEPLOY / "prometheus" / "alerts.yml")[0]
    alerts = {rule["alert"]: rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]}
    page = (DEPLOY / "README.md").read_text("utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE)) == alerts


@pytest.mark.parametrize("command", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")])
def test_prometheus_understands_its_configuration_and_the_alerts_fire_as_told(command: tuple[str, ...]) -> None:
    promtool = found("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: the alert rules are not tried")
    said(promtool, *command, folder=DEPLOY / "prometheus")
