"""How policies are shown to people and programs. Times in seconds."""

from dataclasses import dataclass

from foundry_rollouts.core.model.policy import Policy, Step, WeightStep
from foundry_rollouts.core.model.policy_hash import policy_hash


@dataclass(frozen=True, slots=True)
class StepView:
    """A weight with its times, or an approval (then the weight is the one reached so far)."""

    weight: int
    approval: bool
    min_seconds: float | None = None
    max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class GateView:
    """One gate of a policy; ``max`` is a fraction."""

    name: str
    sources: tuple[str, ...]
    max: float | None
    on_failure: str | None


@dataclass(frozen=True, slots=True)
class PolicyView:
    """One policy in force."""

    name: str
    agents: tuple[str, ...]
    trigger: str
    steps: tuple[StepView, ...]
    deadline_seconds: float
    gates: tuple[GateView, ...]
    sources: tuple[str, ...]
    on_failure: str
    on_no_evidence: str
    on_drift: str
    hash: str  #: What it says, in twelve characters.


def policy_view(policy: Policy) -> PolicyView:
    """Show ``policy``; the prompts of its probe are left out."""
    return PolicyView(
        name=policy.name,
        agents=policy.agents,
        trigger=policy.trigger.value,
        steps=tuple(_step_view(step, policy.weight_at(at)) for at, step in enumerate(policy.steps, start=1)),
        deadline_seconds=policy.deadline.total_seconds(),
        gates=tuple(GateView(gate.name, gate.sources, gate.max, gate.on_failure) for gate in policy.gates),
        sources=policy.sources.names,
        on_failure=policy.on_failure.value,
        on_no_evidence=policy.on_no_evidence.value,
        on_drift=policy.on_drift.value,
        hash=policy_hash(policy),
    )


def _step_view(step: Step, weight: int) -> StepView:
    if not isinstance(step, WeightStep):
        return StepView(weight=weight, approval=True)
    most = None if step.max is None else step.max.total_seconds()
    return StepView(weight=weight, approval=False, min_seconds=step.min.total_seconds(), max_seconds=most)
