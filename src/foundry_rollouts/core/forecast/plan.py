"""What to expect of a policy before it is used: how long proof takes, and what harm is seen how soon.

Of automatic steps it tells those that a version takes which is as good as stable; the evidence skips the others.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.core.forecast.automatic import weight_increases
from foundry_rollouts.core.forecast.expectation import Traffic, deciding, gross_seconds, probe_rate, proof_seconds
from foundry_rollouts.core.forecast.harm import harm_seconds
from foundry_rollouts.core.forecast.times import least
from foundry_rollouts.core.forecast.values import seconds_within
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import SOAK, OnNoEvidence, Policy, WeightStep

LONGEST = timedelta(days=3650)  #: What takes longer counts as never.


@dataclass(frozen=True, slots=True)
class Regression:
    """A canary that is worse than stable."""

    name: str
    canary_rate: float


@dataclass(frozen=True, slots=True)
class Seen:
    """After how long harm of one size is found out, on the step it begins at; None: never."""

    regression: Regression
    after: timedelta | None


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What to expect of one step of a version that is as good as stable."""

    number: int  #: From 1, approvals counted.
    weight: int
    bakes: timedelta  #: The least time that it lasts.
    limit: timedelta | None  #: The policy's ``max``.
    proof: timedelta | None  #: Until it is proved or, at 100, seen at all; None: never.
    lasts: timedelta | None  #: None: it does not continue by itself.
    canary_calls: int  #: Of users, while it lasts, or else until its limit.
    stable_calls: int
    probe_pairs: int
    seen: tuple[Seen, ...]

    @property
    def is_bake(self) -> bool:
        """Whether nobody is left to compare with, so that its time is all that counts."""
        return self.weight == 100

    @property
    def room(self) -> timedelta | None:
        """The time within which harm should show: the limit, or how long it lasts."""
        return self.limit if self.limit is not None else self.lasts


@dataclass(frozen=True, slots=True)
class Plan:
    """What to expect of a policy; ``until_promoted`` leaves out the wait for approvals, None is never."""

    policy: Policy
    traffic: Traffic
    steps: tuple[StepPlan, ...]
    until_promoted: timedelta | None

    @property
    def approvals(self) -> int:
        """How often a person is waited for."""
        return sum(isinstance(step, ApprovalStep) for step in self.policy.steps)


def plan(policy: Policy, traffic: Traffic) -> Plan:
    """Return what to expect of ``policy`` at that traffic."""
    taken = dict(weight_increases(policy, policy.automatic, traffic)) if policy.automatic else {}
    steps = tuple(
        _step(policy, number, step, traffic, taken.get(step.weight))
        for number, step in enumerate(policy.steps, start=1)
        if isinstance(step, WeightStep) and (not taken or step.weight in {*taken, SOAK, 100})
    )
    lasts = [step.lasts for step in steps]
    whole = None if None in lasts else sum((span for span in lasts if span is not None), timedelta(0))
    return Plan(policy, traffic, steps, whole)


def regressions(traffic: Traffic) -> tuple[Regression, ...]:
    """Return the regressions that a plan considers: twice as many failures, some points more, a dead canary."""
    stable = traffic.stable_rate
    points = [Regression(f"+{more} points", min(stable + more / 100, 1.0)) for more in (2, 10)]
    return (Regression("twice", min(2 * stable, 1.0)), *points, Regression("dead", 1.0))


def _step(policy: Policy, number: int, step: WeightStep, traffic: Traffic, taken: float | None) -> StepPlan:
    """Return what to expect of one step; the evidence leaves an automatic one after ``taken`` seconds."""
    proofs = (proof_seconds(policy, gate, step.weight, traffic) for gate in deciding(policy))
    proof = max((seconds_within(policy), *proofs))
    lasts = _lasts(policy, step, proof if taken is None else taken, traffic)
    seconds = _seconds(step.max) if lasts is None else lasts.total_seconds()
    share = step.weight / 100
    probe = policy.sources.probe
    return StepPlan(
        number=number,
        weight=step.weight,
        bakes=least(policy, step),
        limit=step.max,
        proof=_span(proof),
        lasts=lasts,
        canary_calls=round(traffic.rps * share * seconds),
        stable_calls=round(traffic.rps * (1 - share) * seconds),
        probe_pairs=math.floor(probe_rate(probe) / 2 * seconds) if probe else 0,
        seen=tuple(
            Seen(regression, _span(harm_seconds(policy, step.weight, traffic, regression.canary_rate)))
            for regression in regressions(traffic)
        ),
    )


def _lasts(policy: Policy, step: WeightStep, proof: float, traffic: Traffic) -> timedelta | None:
    """Return how long the step lasts by the policy's word on steps without proof; None when it stops there."""
    if step.max is None or proof <= step.max.total_seconds():
        return _span(max(proof, _seconds(least(policy, step))))
    match policy.on_no_evidence:
        case OnNoEvidence.HOLD:
            return _span(proof)
        case OnNoEvidence.ADVANCE_IF_NOT_GROSS:
            times = (gross_seconds(policy, gate, step.weight, traffic) for gate in deciding(policy))
            gross = max((seconds_within(policy), *times))
            return _span(min(proof, max(_seconds(step.max), gross)))
        case _:
            return None


def _span(seconds: float) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds <= LONGEST.total_seconds() else None


def _seconds(span: timedelta | None) -> float:
    return 0.0 if span is None else span.total_seconds()
