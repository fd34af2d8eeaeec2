"""What is valid in a policy but risky, with the numbers of its plan."""

import math
from collections.abc import Iterator
from datetime import timedelta

from foundry_rollouts.core.forecast.automatic import LOOK
from foundry_rollouts.core.forecast.plan import Plan, StepPlan
from foundry_rollouts.core.forecast.risks import risks_of
from foundry_rollouts.core.forecast.values import seconds_within, value_plans
from foundry_rollouts.core.forecast.words import PolicyWarning, span_words
from foundry_rollouts.core.model.patterns import stands_alone
from foundry_rollouts.core.model.policy import OnNoEvidence, Policy

#: The regressions that a step ought to see: beside stable, and at 100, where only its past is left.
TELLING, TELLING_AT_ALL = "+2 points", "+10 points"

WITHOUT_PROOF = {
    OnNoEvidence.HOLD: "holds until then",
    OnNoEvidence.PAUSE: "pauses",
    OnNoEvidence.ROLLBACK: "goes back, however good the version is",
    OnNoEvidence.ADVANCE_IF_NOT_GROSS: "goes on knowing no more than that it is less than 16 points worse",
}


def warnings_of(plan: Plan) -> tuple[PolicyWarning, ...]:
    """Return what speaks against the policy at that traffic."""
    of_steps = [warning for step in plan.steps for warning in _of_step(plan, step)]
    of_policy = (*_of_deadline(plan), *risks_of(plan.policy))
    return (*_of_prompts(plan.policy), *_of_traffic(plan), *of_steps, *of_policy)


def _of_prompts(policy: Policy) -> Iterator[PolicyWarning]:
    """Yield the prompts whose answers cannot be checked."""
    for prompt in policy.sources.probe.prompts if policy.sources.probe else ():
        if prompt.expect.schema is not None and not stands_alone(prompt.expect.schema):
            what = f"the schema of prompt {prompt.name} refers to another document, and none is ever fetched"
            yield PolicyWarning(None, f"{what}, so that the probe proves nothing: copy that part into the schema")


def _of_traffic(plan: Plan) -> Iterator[PolicyWarning]:
    """Yield what keeps automatic steps from knowing how many calls users make."""
    policy = plan.policy
    telling = {source for gate in policy.gates if not gate.is_dry_run for source in gate.sources} - {"probe"}
    if not policy.automatic or telling - {"logs"}:
        return
    how = "ask a source that counts all calls, as outcomes or prometheus"
    if not telling:
        yield PolicyWarning(
            1, f"no source sees the calls of users, so that the weight stays at 1% until it is proved: {how}"
        )
    elif policy.sources.logs and plan.traffic.rps * LOOK > 2 * policy.sources.logs.sessions:
        yield PolicyWarning(
            1,
            f"the logs follow {policy.sources.logs.sessions} sessions of each version, which are too few to know "
            f"{plan.traffic.rps:g} rps by: a tick may miss more than the blast radius; {how}",
        )


def _of_step(plan: Plan, step: StepPlan) -> Iterator[PolicyWarning]:
    traffic = f"at {plan.traffic.rps:g} rps"
    if plan.policy.automatic and step.lasts is not None:
        # The evidence leads on from there; it does not wait to see anything smaller.
        return
    if step.proof is None:
        how = _instead(plan) or "add the probe to the sources of each gate"
        yield PolicyWarning(step.number, f"nothing ever proves the step of {step.weight}% {traffic}: {how}")
    elif step.limit is not None and step.proof > step.limit:
        what = f"proof of the {step.weight}% step takes about {span_words(step.proof)} {traffic}"
        then = f"after its max of {span_words(step.limit)} it {WITHOUT_PROOF[plan.policy.on_no_evidence]}"
        coarser = f"ask more of the probe, or name a coarser bad than {plan.policy.judge.bad}"
        how = f"give it more time, {_fewer(plan, step.proof) or coarser}"
        yield PolicyWarning(step.number, f"{what}, {then}: {how}")
    yield from _of_sight(step, traffic)


def _of_sight(step: StepPlan, traffic: str) -> Iterator[PolicyWarning]:
    """Yield the regression that a step is over too soon to see."""
    telling = TELLING_AT_ALL if step.is_bake else TELLING
    seen = next(seen for seen in step.seen if seen.regression.name == telling)
    if step.room is not None and (seen.after is None or seen.after > step.room):
        takes = "nothing shows it there" if seen.after is None else f"that takes about {span_words(seen.after)}"
        points = telling.removeprefix("+").removesuffix(" points")
        yield PolicyWarning(
            step.number,
            f"this policy cannot see a {points} pp regression within its {span_words(step.room)} step of "
            f"{step.weight}% {traffic} ({takes}): give it more time, or ask more of the probe",
        )


def _instead(plan: Plan) -> str | None:
    """Say how to fix a gate on a value that never decides; None when it is not to blame."""
    if seconds_within(plan.policy) < math.inf:
        return None
    return "nobody knows stable's number at 100%, write min or max for the value, or begin at a lower weight"


def _fewer(plan: Plan, proof: timedelta) -> str | None:
    """Say which gate on a value takes all of ``proof``; None when others do."""
    slow = [value.gate for value in value_plans(plan.policy) if not value.is_dry_run and value.decides >= proof]
    return f"or ask fewer windows of {slow[0]}" if slow else None


def _of_deadline(plan: Plan) -> Iterator[PolicyWarning]:
    deadline, needed = plan.policy.deadline, plan.until_promoted
    least = sum((step.bakes for step in plan.steps), timedelta(0))
    if least >= deadline:
        what = f"the steps bake for {span_words(least)}, the deadline is {span_words(deadline)}"
        yield PolicyWarning(None, f"{what}: no rollout can end well, give it more time")
    elif needed is not None and needed > deadline:
        yield PolicyWarning(
            None,
            f"promotion takes about {span_words(needed)} at {plan.traffic.rps:g} rps, the deadline is "
            f"{span_words(deadline)} and then it pauses: give it more time",
        )
