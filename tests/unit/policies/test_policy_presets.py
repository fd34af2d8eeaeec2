"""Policies by one word, sources that are asked over the network, and what a gate may say of itself."""

from datetime import timedelta
from pathlib import Path

import pytest

from foundry_rollouts.core.forecast.risks import risks_of
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.policy import Gate, GateKind, Margin, OnNoEvidence, Policy, WeightStep
from foundry_rollouts.core.model.sources import HttpConfig, InsightsConfig, OutcomesConfig, PrometheusConfig, Sources
from foundry_rollouts.policies.export import as_written
from foundry_rollouts.policies.load import policies_in
from foundry_rollouts.policies.presets import PRESETS
from unit.policies.policy_files import problems_of

MINUTE = timedelta(minutes=1)
HEAD = "name: a\nagents: [a]\n"
SMALL = HEAD + "steps: [{weight: 100}]\n"
QUERY = 'sum(increase(c{agent="{agent}",v="{version}"}[{window}]))'


def read(folder: Path, text: str) -> Policy:
    file = folder / "p.yaml"
    file.write_text(text, encoding="utf-8")
    return policies_in(file)[0]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_preset_is_a_whole_policy_whose_steps_and_gates_are_written_out(tmp_path: Path, preset: str) -> None:
    policy = read(tmp_path, f"{HEAD}preset: {preset}\n")
    shown = as_written(policy)
    assert [step["weight"] for step in shown["steps"]] == [step["weight"] for step in PRESETS[preset]["steps"]]
    assert [next(iter(gate)) for gate in shown["gates"]] == [next(iter(gate)) for gate in PRESETS[preset]["gates"]]
    assert "preset" not in shown


def test_presets_differ_in_how_much_they_ask_for(tmp_path: Path) -> None:
    cautious, standard, fast = (read(tmp_path, f"{HEAD}preset: {p}\n") for p in ("cautious", "standard", "fast"))
    assert cautious.deadline > standard.deadline > fast.deadline
    assert cautious.judge.bad.of(0.01) < standard.judge.bad.of(0.01) < fast.judge.bad.of(0.01)
    assert fast.on_no_evidence is OnNoEvidence.ADVANCE_IF_NOT_GROSS


def test_what_a_file_says_itself_outweighs_its_preset(tmp_path: Path) -> None:
    policy = read(tmp_path, f"{HEAD}preset: fast\nsteps: [{{weight: 100}}]\njudge: {{bad: 4x}}\n")
    assert policy.steps == (WeightStep(100, MINUTE),)
    assert policy.judge.bad == Margin(4)
    assert policy.deadline == read(tmp_path, f"{HEAD}preset: fast\n").deadline


@pytest.mark.parametrize(
    ("sources", "names", "every"),
    [
        ("", ("probe", "logs"), 5),
        ("sources: {probe: {pairs: 2}}\n", ("probe",), 5),
        ("sources: {probe: {every: 9s}, outcomes: {}}\n", ("probe", "outcomes"), 9),
        ("sources: {outcomes: {}}\n", ("outcomes",), None),
    ],
)
def test_a_file_names_its_sources_and_a_preset_only_fills_in_their_keys(
    tmp_path: Path, sources: str, names: tuple[str, ...], every: float | None
) -> None:
    policy = read(tmp_path, f"{HEAD}preset: standard\n{sources}")
    assert policy.sources.names == names
    assert (policy.sources.probe.every.total_seconds() if policy.sources.probe else None) == every
    if "pairs" in sources:
        assert policy.sources.probe is not None
        assert policy.sources.probe.pairs == 2
    if sources:
        (problem,) = problems_of(tmp_path, f"{HEAD}preset: standard\nsources: [probe]\n")
        assert "sources: a list stands where a mapping belongs" in problem


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_preset_is_risky_at_no_traffic(tmp_path: Path, preset: str) -> None:
    assert list(risks_of(read(tmp_path, f"{HEAD}preset: {preset}\n"))) == []


def test_presets_let_new_sandboxes_warm_up(tmp_path: Path) -> None:
    policies = [read(tmp_path, f"{HEAD}preset: {preset}\n") for preset in ("cautious", "standard", "fast")]
    assert [policy.warm_up for policy in policies] == [MINUTE, MINUTE, MINUTE / 2]
    assert [str(policy.judge.bad) for policy in policies] == ["1.5x + 0.5pp", "2x + 2pp", "3x + 5pp"]
    assert read(tmp_path, SMALL).warm_up == timedelta(0)


def test_counts_of_others_may_say_how_many_calls_fail_together(tmp_path: Path) -> None:
    counted = VALUES.replace("calls:", "cluster: 2.5, calls:") + "gates: [{error-rate: {}}]\n"
    policy = read(tmp_path, counted)
    assert policy.sources.cluster_of("http") == 2.5
    assert as_written(policy)["sources"]["http"]["cluster"] == 2.5
    assert read(tmp_path, counted.replace("cluster: 2.5, ", "")).sources.cluster_of("http") is None


def test_gates_of_a_preset_that_could_see_nothing_are_left_out(tmp_path: Path) -> None:
    policy = read(tmp_path, f"{HEAD}preset: cautious\nsources: {{outcomes: {{}}, probe: {{}}}}\n")
    assert [gate.name for gate in policy.gates] == ["error-rate", "latency"]
    assert policy.gates[0].sources == ("probe", "outcomes")


def test_every_source_is_read_with_its_defaults_and_written_back(tmp_path: Path) -> None:
    workspace = "11111111-2222-3333-4444-555555555555"
    policy = read(
        tmp_path,
        SMALL
        + "sources:\n  outcomes: {}\n"
        + f"  prometheus: {{url: 'http://p:9090', calls: '{QUERY}', failures: '{QUERY}', every: 1m}}\n"
        + "  http: {url: 'https://h/{version}?x={agent}', calls: /calls, failures: /a~1b/0, delay: 2s}\n"
        + f"  application-insights: {{workspace: {workspace}}}\n",
    )
    minute = InsightsConfig(workspace).every
    assert policy.sources == Sources(
        probe=None,
        logs=None,
        outcomes=OutcomesConfig(),
        prometheus=PrometheusConfig("http://p:9090", QUERY, QUERY, every=minute),
        http=HttpConfig("https://h/{version}?x={agent}", "/calls", "/a~1b/0", delay=minute / 30),
        application_insights=InsightsConfig(workspace),
    )
    assert policy.gates[0].sources == ("outcomes", "prometheus", "http", "application-insights")
    shown = as_written(policy)["sources"]
    assert shown["prometheus"]["every"] == "1m"
    assert shown["application-insights"] == {"workspace": workspace, "every": "1m", "delay": "3m"}


def test_a_gate_says_what_its_sources_count_and_what_it_is(tmp_path: Path) -> None:
    text = (
        SMALL + "gates:\n  - error-rate: {sources: {logs: 3, probe: 1}, critical: true}\n  - latency: {dry-run: true}\n"
    )
    policy = read(tmp_path, text)
    assert policy.gates == (
        Gate(GateKind.ERROR_RATE, ("logs", "probe"), weights=(3, 1), is_critical=True),
        Gate(GateKind.LATENCY, ("probe",), is_dry_run=True),
    )
    assert as_written(policy)["gates"] == [
        {"error-rate": {"sources": {"logs": 3, "probe": 1}, "critical": True}},
        {"latency": {"sources": ["probe"], "dry-run": True}},
    ]


VALUES = SMALL + (
    "sources:\n  http: {url: 'http://h/{version}', calls: /c, failures: /f, values: {cost: /cost, depth: /q/0}}\n"
)


def test_values_are_gates_with_bounds_and_are_written_back(tmp_path: Path) -> None:
    gates = "gates:\n  - value: {name: cost, max: 5, at-most: 1.2x}\n  - value: {name: depth, min: 1, windows: 5}\n"
    policy = read(tmp_path, VALUES + gates)
    assert policy.gates == (
        Gate(GateKind.VALUE, ("http",), bounds=Bounds("cost", max=5, at_most=1.2)),
        Gate(GateKind.VALUE, ("http",), bounds=Bounds("depth", min=1, windows=5)),
    )
    shown = as_written(policy)
    assert shown["gates"][0] == {
        "value": {"sources": ["http"], "name": "cost", "max": 5, "at-most": "1.2x", "windows": 3}
    }
    assert shown["sources"]["http"]["values"] == {"cost": "/cost", "depth": "/q/0"}


def test_credentials_are_a_name_and_are_written_back(tmp_path: Path) -> None:
    policy = read(
        tmp_path,
        VALUES.replace("calls:", "credentials: counts-eu, calls:").replace("http://", "https://")
        + "gates: [{error-rate: {}}]\n",
    )
    assert policy.sources.http is not None
    assert policy.sources.http.credentials == "counts-eu"
    assert as_written(policy)["sources"]["http"]["credentials"] == "counts-eu"


@pytest.mark.parametrize("secret", ["S3cretToken", "a.b.c", "x" * 41, "two words"])
def test_a_secret_that_stands_where_a_name_belongs_is_refused_and_not_repeated(tmp_path: Path, secret: str) -> None:
    (problem,) = problems_of(tmp_path, VALUES.replace("calls:", f"credentials: '{secret}', calls:"))
    assert "sources.http.credentials: this names no credentials" in problem
    assert secret not in problem


def test_credentials_do_not_go_in_the_clear(tmp_path: Path) -> None:
    text = VALUES.replace("calls:", "credentials: counts, calls:")
    (problem,) = problems_of(tmp_path, text)
    assert "sources.http.url: credentials would be sent in the clear: write https" in problem
    assert read(tmp_path, text.replace("http://h", "http://127.0.0.1:9")).sources.http is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD + "preset: standerd\n", "p.yaml:3:9: preset: 'standerd' is not known here: did you mean standard?"),
        (HEAD, "p.yaml:1:1: steps is missing: add steps"),
        (
            SMALL + "gates: [{log-errors: {sources: [probe]}}]\n",
            "p.yaml:4:32: gates[0].log-errors.sources: the source probe cannot tell it: ask logs or outcomes",
        ),
        (
            SMALL + f"sources: {{prometheus: {{url: 'http://p', calls: c, failures: '{QUERY}'}}}}\n",
            "{version} does not stand in it",
        ),
        (
            SMALL + "sources: {http: {url: 'http://u:secret@h/{version}', calls: /c, failures: /f}}\n",
            "write http:// or https://, without a name and password",
        ),
        (
            SMALL + "sources: {http: {url: 'http://h', calls: /c, failures: /f}}\n",
            "{version} does not stand in it: without it, stable and canary would be the same",
        ),
        (
            SMALL + "sources: {http: {url: 'http://h/{version}', calls: c, failures: /f}}\n",
            "'c' is no JSON pointer: write for example /counts/calls",
        ),
        (VALUES + "gates: [{value: {name: price, max: 1}}]\n", "no source tells price: add it to the values of"),
        (VALUES + "gates: [{value: {name: cost}}]\n", "value cost has no bound: name min, max, at-least or at-most"),
        (VALUES + "gates: [{value: {name: cost, at-most: 1.2}}]\n", "write for example 1.2x"),
        (
            VALUES + "gates: [{value: {name: cost, max: 1}}, {value: {name: cost, min: 0}}]\n",
            "value cost appears here twice",
        ),
        (
            SMALL + "sources: {application-insights: {workspace: mine}}\n",
            "'mine' is no workspace id: write the GUID that the portal shows",
        ),
    ],
)
def test_what_cannot_be_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    assert any(problem in line for line in problems_of(tmp_path, text)), problems_of(tmp_path, text)
