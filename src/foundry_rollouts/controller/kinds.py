"""What a policy asks of a kind of agent that this kind cannot give: its rollout would wait for ever."""

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import LogsConfig
from foundry_rollouts.ports import PROMPT, VersionSeen


def unmeasured(version: VersionSeen, rollout: Rollout) -> str | None:
    """Say what the rollout's policy wants to measure that a prompt agent does not have; None where it fits."""
    if version.kind != PROMPT:
        return None
    policy, probe = rollout.policy, rollout.policy.sources.probe
    if LogsConfig.name in policy.sources.names:
        what = f"has no logs, and logs are among the sources of policy {policy.name}"
        then = "leave them out, or give prompt agents a policy of their own"
    elif silent := [each.name for each in probe.prompts if not isinstance(each.input, str)] if probe else []:
        what = f"answers Responses only, and prompt {silent[0]} of policy {policy.name} is for Invocations"
        then = "make its input a text"
    else:
        return None
    return f"{rollout.agent} is a prompt agent, which {what}: {then}"
