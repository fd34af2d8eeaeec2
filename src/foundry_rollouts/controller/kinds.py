"""What a policy asks of a kind of agent that this kind cannot give: its rollout would wait for ever."""

from dataclasses import replace

from foundry_rollouts.core.model.policy import Gate
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import LogsConfig
from foundry_rollouts.ports import PROMPT, VersionSeen

LOGS = LogsConfig.name


def fitted(version: VersionSeen | None, rollout: Rollout) -> tuple[Rollout, str | None]:
    """Return the rollout of a prompt agent without logs, which it does not have, and what is to be said of that.

    It stays as it is where its policy watches nothing else, and once it has begun.
    """
    policy = rollout.policy
    if rollout.step or version is None or version.kind != PROMPT or LOGS not in policy.sources.names:
        return rollout, None
    gates = tuple(without for gate in policy.gates if (without := _without_logs(gate)))
    if not gates:
        return rollout, None
    lost = [gate.name for gate in policy.gates if _without_logs(gate) is None]
    dropped = f", and gate {' and '.join(lost)} with them" if lost else ""
    said = f"{rollout.agent} is a prompt agent, which has no logs: they are left out of policy {policy.name}{dropped}"
    return replace(rollout, policy=replace(policy, sources=replace(policy.sources, logs=None), gates=gates)), said


def _without_logs(gate: Gate) -> Gate | None:
    """Return the gate without what logs tell; None where nothing else tells it."""
    kept = [place for place, source in enumerate(gate.sources) if source != LOGS]
    if not kept:
        return None
    weights = tuple(gate.weights[place] for place in kept) if gate.weights else ()
    return replace(gate, sources=tuple(gate.sources[place] for place in kept), weights=weights)


def unmeasured(version: VersionSeen, rollout: Rollout) -> str | None:
    """Say what the rollout's policy wants to measure that a prompt agent does not have; None where it fits."""
    if version.kind != PROMPT:
        return None
    policy, probe = rollout.policy, rollout.policy.sources.probe
    if LOGS in policy.sources.names:
        what = f"has no logs, and policy {policy.name} watches nothing else"
        then = "give it another source, such as the probe"
    elif silent := [each.name for each in probe.prompts if not isinstance(each.input, str)] if probe else []:
        what = f"answers Responses only, and prompt {silent[0]} of policy {policy.name} is for Invocations"
        then = "make its input a text"
    else:
        return None
    return f"{rollout.agent} is a prompt agent, which {what}: {then}"
