"""What is asked of alert rules and dashboards beyond their tools: metrics that exist, and pages that are there."""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import promql_parser
from ruamel.yaml import YAML

from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.model.awaited import Waiting
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.telemetry import Delivery, Metrics, Problem
from tools.repository import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOK = ROOT / "docs" / "on-call.md"
SEVERITIES = {"page", "ticket", "note"}
PARTS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
#: Labels whose values are words of ours.
WORDS: Mapping[str, type[StrEnum]] = {
    "phase": Phase,
    "verdict": Verdict,
    "problem": Problem,
    "for": Waiting,
}
OUTCOMES = {each.value for each in (*Delivery, *Phase)}


def in_yaml(path: Path) -> Any:
    """Return the one document of a YAML file."""
    return YAML(typ="safe").load(path.read_text("utf-8"))


def rules(*names: str) -> list[dict[str, Any]]:
    """Return the rules of these files, in their order."""
    groups = [group for name in names for group in in_yaml(PROMETHEUS / name)["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def known_metrics() -> set[str]:
    """Return every name that a query may use: metrics, recorded series, and Prometheus's own."""
    families = Metrics("any").registry.collect()
    ours = {f"{family.name}{part}" for family in families for part in PARTS[family.type]}
    return ours | {rule["record"] for rule in rules("recording.yml")} | {"up", "ALERTS"}


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    """Return the series that ``query`` selects. Raises ValueError for what is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def note(each: promql_parser.Expr) -> bool:
        if isinstance(each, promql_parser.VectorSelector):
            found.append(each)
        return True

    promql_parser.walk(promql_parser.parse(query), note)
    return found


def faults_of_query(query: str, known: set[str]) -> Iterator[str]:
    """Yield what is wrong with a query: no PromQL, a metric that does not exist, a word that no label has."""
    try:
        found = selectors(query)
    except ValueError as error:
        yield f"{query}: {error}"
        return
    for each in found:
        if each.name not in known:
            yield f"{query}: there is no metric {each.name}"
        for matcher in each.matchers.matchers:
            allowed = OUTCOMES if matcher.name == "outcome" else {word.value for word in WORDS.get(matcher.name, ())}
            if allowed and "$" not in matcher.value and (unknown := set(matcher.value.split("|")) - allowed):
                yield f"{query}: {matcher.name} is never {', '.join(sorted(unknown))}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def faults_of_alert(alert: Mapping[str, Any], known: set[str], pages: set[str]) -> Iterator[str]:
    """Yield what is wrong with an alert: a severity, a text or a page that is missing, or its query."""
    name, texts = alert["alert"], alert["annotations"]
    if alert["labels"].get("severity") not in SEVERITIES:
        yield f"{name}: its severity is none of {', '.join(sorted(SEVERITIES))}"
    for missing in {"summary", "description", "runbook_url"} - texts.keys():
        yield f"{name}: it has no {missing}"
    page, _, anchor = texts.get("runbook_url", "").partition("#")
    if not page.endswith("/docs/on-call.md") or anchor not in pages:
        yield f"{name}: the runbook has no part #{anchor}"
    yield from (f"{name}: {fault}" for fault in faults_of_query(alert["expr"], known))


def untested(alerts: Iterable[str], tests: Mapping[str, Any]) -> set[str]:
    """Return the alerts that no test shows firing, or none silent."""
    asked = [each for test in tests["tests"] for each in test["alert_rule_test"]]
    firing = {each["alertname"] for each in asked if each["exp_alerts"]}
    silent = {each["alertname"] for each in asked if not each["exp_alerts"]}
    return set(alerts) - (firing & silent)
