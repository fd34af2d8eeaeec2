"""What a policy file means."""

import json
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.effects import OnDrift, OnSplit, SessionsOnRollback
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.policy import (
    Automatic,
    Gate,
    GateKind,
    Judging,
    Margin,
    OnFailure,
    OnNoEvidence,
    Policy,
    Trigger,
    WeightStep,
)
from foundry_rollouts.core.model.sources import HARMLESS, Expectation, LogsConfig, ProbeConfig, Prompt, Sources
from foundry_rollouts.errors import PolicyError
from foundry_rollouts.policies.export import as_written, policy_schema, prompts_schema
from foundry_rollouts.policies.load import policies_in
from unit.policies.policy_files import PROMPTS, REPOSITORY, SMALL, WHOLE

MINUTE = timedelta(minutes=1)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/support.yaml").write_text(PROMPTS)
    (tmp_path / "whole.yaml").write_text(WHOLE)
    return tmp_path / "whole.yaml"


def test_every_key_of_a_file_reaches_the_policy(whole: Path) -> None:
    expectation = Expectation(201, "hi", "h[ia]", {"type": "object"}, timedelta(seconds=2.5))
    prompts = (Prompt("greeting", "hello", expectation), Prompt("order", {"order": 4711, "note": None}))
    assert policies_in(whole) == (
        Policy(
            name="support-agent",
            agents=("support-*",),
            steps=(
                WeightStep(10, MINUTE, 10 * MINUTE),
                WeightStep(50, 5 * MINUTE, 30 * MINUTE),
                ApprovalStep(),
                WeightStep(100, 30 * MINUTE),
            ),
            trigger=Trigger.MANUAL,
            deadline=90 * MINUTE,
            judge=Judging(0.001, 0.02, Margin(1, 0.01), Margin(2, 0.015)),
            sources=Sources(ProbeConfig(prompts, timedelta(seconds=0.5), 2), LogsConfig(7)),
            gates=(
                Gate(GateKind.ERROR_RATE, ("logs", "probe"), 0.2),
                Gate(GateKind.LATENCY, ("probe",), on_failure=OnFailure.PAUSE),
                Gate(GateKind.LOG_ERRORS, ("logs",)),
            ),
            on_failure=OnFailure.DISABLE,
            on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS,
            on_drift=OnDrift.RESTORE,
            sessions_on_rollback=SessionsOnRollback.STOP,
            ignored_errors=(ErrorKind.CLIENT_ERROR, ErrorKind.RATE_LIMITED),
            on_split=OnSplit.NOTE,
            call_limit=2 * MINUTE,
            warm_up=MINUTE / 2,
        ),
    )


def test_a_file_with_the_required_keys_alone_gets_the_defaults_of_the_core(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SMALL)
    assert policies_in(tmp_path / "p.yaml") == (
        Policy("small", ("*",), (WeightStep(100, MINUTE),), gates=(Gate(GateKind.ERROR_RATE, ("probe", "logs")),)),
    )


def test_only_sources_that_are_named_are_on_and_gates_ask_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SMALL + "sources: {logs: {}}\n")
    (policy,) = policies_in(tmp_path / "p.yaml")
    assert policy.sources == Sources(probe=None, logs=LogsConfig(50))
    assert policy.gates == (Gate(GateKind.ERROR_RATE, ("logs",)),)


def test_a_probe_without_prompts_asks_the_harmless_one(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SMALL + "sources: {probe: {}}\n")
    (policy,) = policies_in(tmp_path / "p.yaml")
    assert policy.sources.probe == ProbeConfig(prompts=(HARMLESS,))


def test_one_file_may_hold_many_policies(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("---\n" + SMALL + "---\n---\nname: b\nagents: [b]\nsteps: [{weight: 100}]\n")
    assert [policy.name for policy in policies_in(tmp_path / "p.yaml")] == ["small", "b"]


def test_a_folder_is_read_by_name_without_prompts_and_other_files(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(SMALL.replace("small", "b") + "sources: {probe: {prompts: ask.yaml}}\n")
    (tmp_path / "a.yaml").write_text(SMALL.replace("small", "a").replace('"*"', "a"))
    (tmp_path / "ask.yaml").write_text(PROMPTS)
    (tmp_path / "notes.txt").write_text("not ours")
    assert [policy.name for policy in policies_in(tmp_path)] == ["a", "b"]


def test_a_name_that_two_policies_have_is_refused_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SMALL)
    (tmp_path / "b.yaml").write_text(SMALL.replace('"*"', "b"))
    with pytest.raises(PolicyError) as refused:
        policies_in(tmp_path)
    first = f"{tmp_path}/a.yaml:1"
    assert refused.value.problems == (
        f"{tmp_path}/b.yaml:1:7: name: 'small' is the name of the policy in {first}: choose another",
    )


def test_a_glob_that_two_policies_name_is_refused_for_neither_could_win(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SMALL + "---\n" + SMALL.replace("small", "b"))
    with pytest.raises(PolicyError) as refused:
        policies_in(tmp_path / "p.yaml")
    assert refused.value.problems == (
        f"{tmp_path}/p.yaml:6:10: agents[0]: '*' ties with policy small in {tmp_path}/p.yaml:1: "
        "leave it to one of them",
    )


def test_the_sample_policies_are_in_order() -> None:
    assert {policy.name for policy in policies_in(REPOSITORY / "deploy/policies")} == {
        "counted",
        "everyone",
        "on-request",
        "support-agent",
    }


def test_the_schemas_in_the_documentation_are_those_of_this_code() -> None:
    how = "foundry-rollouts policy schema [--prompts] > docs/..."
    assert (REPOSITORY / "docs/policy.schema.json").read_text() == policy_schema(), how
    assert (REPOSITORY / "docs/prompts.schema.json").read_text() == prompts_schema(), how


def test_the_schema_is_valid_and_accepts_what_the_loader_accepts(whole: Path) -> None:
    schema = json.loads(policy_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    samples = [*(REPOSITORY / "deploy/policies").glob("*.yaml"), whole]
    for sample in samples:
        jsonschema.validate(YAML(typ="safe").load(sample), schema, jsonschema.Draft202012Validator)
    prompts = YAML(typ="safe").load(PROMPTS)
    jsonschema.validate(prompts, json.loads(prompts_schema()), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"deadline": "soon"},
        {"deadline": ""},
        {"steps": [{"weight": 101}]},
        {"steps": [{"weight": 10, "approval": {}}]},
        {"steps": []},
        {"judge": {"tolerate": "1.2"}},
        {"judge": {"missed-bad": 5}},
        {"gates": [{"error-rate": {}, "latency": {}}]},
        {"gates": [{"value": {}}]},
        {"sources": {"probe": None}},
        {"on-drift": "ignore"},
        {"unheard-of": 1},
    ],
)
def test_the_schema_refuses_in_the_editor_what_the_loader_would_refuse(wrong: dict[str, object]) -> None:
    policy = {"name": "a", "agents": ["a"], "steps": [{"weight": 100}], **wrong}
    validator = jsonschema.Draft202012Validator(json.loads(policy_schema()))
    assert not validator.is_valid(policy)


def test_a_policy_is_written_out_with_every_default_as_a_file_would_say_it(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SMALL)
    (policy,) = policies_in(tmp_path)
    written = as_written(policy)
    assert written["steps"] == [{"weight": 100, "min": "1m"}]
    assert written["judge"] == {"false-rollback": "1%", "missed-bad": "5%", "tolerate": "1.2x", "bad": "2x + 2pp"}
    assert written["gates"] == [{"error-rate": {"sources": ["probe", "logs"]}}]
    del written["sources"]["probe"]["prompts"]  # names of prompts, where a file has a path
    (tmp_path / "p.yaml").write_text(json.dumps(written))
    assert policies_in(tmp_path) == (policy,)


def test_automatic_steps_are_read_and_written_out(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("name: a\nagents: [a]\nsteps: {auto: {soak: 10m, max: 1h}}\n")
    (policy,) = policies_in(tmp_path / "p.yaml")
    assert policy.automatic == Automatic(20, 10 * MINUTE, timedelta(0), 60 * MINUTE)
    assert policy.steps == policy.automatic.steps
    assert as_written(policy)["steps"] == {"auto": {"blast-radius": 20, "soak": "10m", "bake": "0s", "max": "1h"}}


@pytest.mark.parametrize(
    ("written", "limit", "call_limit"),
    [
        ("steps: {auto: {}}", 10 * MINUTE, MINUTE),
        ("steps: {auto: {soak: 20m}}", 20 * MINUTE, MINUTE),
        ("steps: {auto: {soak: 1s}}", 10 * MINUTE, MINUTE / 60),
        ("steps: {auto: {soak: 0s}}", 10 * MINUTE, None),
        ("steps: {auto: {max: 5m}}\ncall-limit: 3m", 5 * MINUTE, 3 * MINUTE),
        ("steps: {auto: {}}\ndeadline: 30s", 10 * MINUTE, None),
    ],
)
def test_automatic_steps_have_a_limit_and_last_as_long_as_a_call_may(
    tmp_path: Path, written: str, limit: timedelta, call_limit: timedelta | None
) -> None:
    (tmp_path / "p.yaml").write_text(f"name: a\nagents: [a]\n{written}\n")
    (policy,) = policies_in(tmp_path / "p.yaml")
    assert policy.automatic is not None
    assert (policy.automatic.max, policy.call_limit) == (limit, call_limit)


@pytest.mark.parametrize(
    ("written", "least"),
    [
        ("steps: [{weight: 100}]", MINUTE),
        ("steps: [{weight: 100, max: 30s}]", MINUTE / 2),
        ("steps: [{weight: 100, min: 1s}]", MINUTE / 60),
        ("steps: [{weight: 100, min: 0s}]", timedelta(0)),
        ("steps: [{weight: 100}]\ncall-limit: 3m", 3 * MINUTE),
        ("steps: [{weight: 100, min: 1s}]\ncall-limit: 3m", MINUTE / 60),
    ],
)
def test_a_step_without_min_lasts_as_long_as_a_call_may(tmp_path: Path, written: str, least: timedelta) -> None:
    (tmp_path / "p.yaml").write_text(f"name: a\nagents: [a]\n{written}\n")
    (policy,) = policies_in(tmp_path / "p.yaml")
    assert [step.min for step in policy.steps if isinstance(step, WeightStep)] == [least]
    assert policy.call_limit == (3 * MINUTE if "call-limit" in written else None)
    if policy.call_limit:
        assert as_written(policy)["call-limit"] == "3m"
    else:
        assert "call-limit" not in as_written(policy)
