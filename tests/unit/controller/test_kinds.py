"""What a policy may ask of a prompt agent, and what would keep its rollout waiting for ever."""

import pytest

from builders import a_policy, a_rollout
from foundry_rollouts.controller.kinds import unmeasured
from foundry_rollouts.core.model.sources import LogsConfig, OutcomesConfig, ProbeConfig, Prompt, Sources
from foundry_rollouts.ports import HOSTED, PROMPT, VersionSeen, VersionStatus

ORDER = ProbeConfig(prompts=(Prompt("hello", "hi"), Prompt("order", {"order": 1})))


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        (Sources(probe=ProbeConfig(), logs=None), None),
        (Sources(probe=ProbeConfig(), logs=None, outcomes=OutcomesConfig()), None),
        (
            Sources(probe=ProbeConfig(), logs=LogsConfig()),
            "which has no logs, and logs are among the sources of policy support: leave them out, or give prompt agents"
            " a policy of their own",
        ),
        (
            Sources(probe=ORDER, logs=None),
            "which answers Responses only, and prompt order of policy support is for Invocations: make its input a"
            " text",
        ),
    ],
)
def test_a_prompt_agent_gives_no_logs_and_answers_texts_only(sources: Sources, why: str | None) -> None:
    rollout = a_rollout(policy=a_policy(sources=sources))
    prompt = VersionSeen("2", VersionStatus.ACTIVE, kind=PROMPT)
    assert unmeasured(prompt, rollout) == (why and f"support-agent is a prompt agent, {why}")
    assert unmeasured(VersionSeen("2", VersionStatus.ACTIVE, kind=HOSTED), rollout) is None
