"""What to expect of a policy, as the page of policies draws it: a staircase of weights over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import Plan, Regression, StepPlan
from foundry_rollouts.core.forecast.plan import plan as planned
from foundry_rollouts.core.forecast.warnings import warnings_of
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import Policy

#: What an approval takes on the drawing: nobody knows how long a person needs.
APPROVAL = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Stair:
    """One step of the drawing, in seconds from the start; ``lasts`` None: it goes on only by a person, or never."""

    weight: int
    is_approval: bool
    begins: float
    least: float
    lasts: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """What to expect of a policy at an assumed traffic."""

    traffic: Traffic
    until_promoted: float | None  #: Seconds, approvals left out; None: never by itself.
    approvals: int
    stairs: tuple[Stair, ...]
    ends: float  #: Where the drawing ends, in seconds.
    steps: tuple[StepPlan, ...]
    harms: tuple[Regression, ...]  #: How bad a version each column of ``seen`` is about.
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def plan_of(policy: Policy, traffic: Traffic) -> PolicyPlan:
    """Return what to expect of ``policy`` at ``traffic``."""
    found = planned(policy, traffic)
    stairs, said = _stairs(policy, found), warnings_of(found)
    return PolicyPlan(
        traffic=traffic,
        until_promoted=None if found.until_promoted is None else found.until_promoted.total_seconds(),
        approvals=found.approvals,
        stairs=stairs,
        ends=max((stair.begins + _width(stair) for stair in stairs), default=1.0),
        steps=found.steps,
        harms=tuple(seen.regression for seen in found.steps[0].seen) if found.steps else (),
        warnings=tuple(each.sentence for each in said if not each.is_note),
        notes=tuple(each.sentence for each in said if each.is_note),
    )


def _stairs(policy: Policy, found: Plan) -> tuple[Stair, ...]:
    """Return the steps one after the other; behind one that never ends by itself, the next begins at its limit."""
    by_number = {step.number: step for step in found.steps}
    stairs: list[Stair] = []
    at = 0.0
    for number, step in enumerate(policy.steps, start=1):
        if isinstance(step, ApprovalStep):
            stairs.append(Stair(policy.weight_at(number), True, at, 0.0, None, None))
            at += APPROVAL.total_seconds()
        elif number in by_number:
            stair = _stair(by_number[number], at)
            stairs.append(stair)
            at += stair.lasts if stair.lasts is not None else _width(stair)
    return tuple(stairs)


def _stair(step: StepPlan, begins: float) -> Stair:
    lasts = None if step.lasts is None else step.lasts.total_seconds()
    limit = None if step.limit is None else step.limit.total_seconds()
    return Stair(step.weight, False, begins, step.bakes.total_seconds(), lasts, limit)


def _width(stair: Stair) -> float:
    if stair.is_approval:
        return APPROVAL.total_seconds()
    return max(stair.least, stair.lasts or 0.0, stair.limit or 0.0, 1.0)


def named_in(policies: Sequence[Policy], name: str | None) -> Policy | None:
    """Return the policy of that name, or the first one; None where there is none."""
    return next((policy for policy in policies if policy.name == name), policies[0] if policies and not name else None)
