"""What a policy may ask of a prompt agent, and what would keep its rollout waiting for ever."""

import pytest

from builders import a_policy, a_rollout
from foundry_rollouts.controller.kinds import fitted, unmeasured
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.sources import LogsConfig, OutcomesConfig, ProbeConfig, Prompt, Sources
from foundry_rollouts.ports import HOSTED, PROMPT, VersionSeen, VersionStatus

ERRORS = Gate(GateKind.ERROR_RATE, ("probe", "logs", "outcomes"), weights=(1.0, 2.0, 3.0))
LINES = Gate(GateKind.LOG_ERRORS, ("logs",))
ORDER = ProbeConfig(prompts=(Prompt("hello", "hi"), Prompt("order", {"order": 1})))


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        (Sources(probe=ProbeConfig(), logs=None), None),
        (Sources(probe=ProbeConfig(), logs=None, outcomes=OutcomesConfig()), None),
        (
            Sources(probe=None, logs=LogsConfig()),
            "which has no logs, and policy support watches nothing else: give it another source, such as the probe",
        ),
        (
            Sources(probe=ORDER, logs=None),
            "which answers Responses only, and prompt order of policy support is for Invocations: make its input a"
            " text",
        ),
    ],
)
def test_a_prompt_agent_gives_no_logs_and_answers_texts_only(sources: Sources, why: str | None) -> None:
    gates = {} if sources.probe else {"gates": (LINES,)}
    rollout = a_rollout(policy=a_policy(sources=sources, **gates))
    prompt = VersionSeen("2", VersionStatus.ACTIVE, kind=PROMPT)
    assert unmeasured(prompt, rollout) == (why and f"support-agent is a prompt agent, {why}")
    assert unmeasured(VersionSeen("2", VersionStatus.ACTIVE, kind=HOSTED), rollout) is None


PROMPT_VERSION = VersionSeen("2", VersionStatus.ACTIVE, kind=PROMPT)


def test_logs_of_a_policy_are_left_out_for_a_prompt_agent_with_the_gates_that_only_they_tell() -> None:
    sources = Sources(probe=ProbeConfig(), logs=LogsConfig(), outcomes=OutcomesConfig())
    rollout = a_rollout(policy=a_policy(sources=sources, gates=(ERRORS, LINES)))
    without, said = fitted(PROMPT_VERSION, rollout)
    assert without.policy.sources == Sources(probe=ProbeConfig(), logs=None, outcomes=OutcomesConfig())
    assert without.policy.gates == (Gate(GateKind.ERROR_RATE, ("probe", "outcomes"), weights=(1.0, 3.0)),)
    assert said == (
        "support-agent is a prompt agent, which has no logs: they are left out of policy support, and gate log-errors"
        " with them"
    )
    assert fitted(PROMPT_VERSION, without) == (without, None)


def test_a_rollout_stays_as_it_is_once_it_has_begun_of_a_hosted_agent_and_where_logs_are_all() -> None:
    both = a_rollout(policy=a_policy(sources=Sources(logs=LogsConfig())))
    assert fitted(VersionSeen("2", VersionStatus.ACTIVE, kind=HOSTED), both) == (both, None)
    assert fitted(None, both) == (both, None)
    begun = a_rollout(policy=both.policy, step=1)
    assert fitted(PROMPT_VERSION, begun) == (begun, None)
    only = a_rollout(policy=a_policy(sources=Sources(probe=None, logs=LogsConfig()), gates=(LINES,)))
    assert fitted(PROMPT_VERSION, only) == (only, None)
