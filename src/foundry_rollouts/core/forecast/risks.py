"""What is risky at any traffic: in what a policy says of calls, sandboxes, counts of others and the split."""

from collections.abc import Iterator
from datetime import timedelta

from foundry_rollouts.core.forecast.times import least
from foundry_rollouts.core.forecast.words import PolicyWarning, span_words
from foundry_rollouts.core.model.effects import OnSplit
from foundry_rollouts.core.model.policy import CALL_LIMIT, SOAK, Policy, WeightStep
from foundry_rollouts.core.model.sources import PolledConfig

#: The least time that the guard of a canary with all traffic should have.
BAKE = timedelta(minutes=5)


def risks_of(policy: Policy) -> Iterator[PolicyWarning]:
    """Yield what speaks against the policy's times, and what should be known of its sources and its split."""
    for number, step in enumerate(policy.steps, start=1):
        if isinstance(step, WeightStep):
            yield from _of_step(policy, number, step)
    if policy.weight_at(1) == 100 or policy.last_weight_step == 1:
        how = "add a step below it, for example {weight: 10}"
        yield PolicyWarning(1, f"the only weight is 100%, where nothing is proved before all users meet it: {how}")
    if policy.on_split is OnSplit.NOTE:
        what = "on-split: note goes on where new sessions do not follow the weights"
        how = "then a step may meet nobody, or everybody: write hold or pause"
        yield PolicyWarning(None, f"{what}, and {how}", where=("on-split",))
    yield from _of_clusters(policy)


def _of_step(policy: Policy, number: int, step: WeightStep) -> Iterator[PolicyWarning]:
    key, lasts = _key_of(policy, step), least(policy, step)
    if step.weight == 100:
        if lasts < BAKE:
            what = f"100% is a bake, and its {span_words(lasts)} are all the time in which it is watched"
            yield PolicyWarning(number, f"{what}: write {key}: {span_words(BAKE)}")
    elif key and (sentence := _too_short(policy, step)):
        yield PolicyWarning(number, f"{sentence}: write {key}: {span_words(policy.call_limit or CALL_LIMIT)}")
    if key and policy.warm_up > lasts:
        warm_up = span_words(policy.warm_up)
        what = f"warm-up lasts {warm_up}, the step of {step.weight}% only {span_words(lasts)}"
        yield PolicyWarning(number, f"{what}, in which 25 points more are let pass: write {key}: {warm_up}")


def _too_short(policy: Policy, step: WeightStep) -> str | None:
    """Say that a call may last longer than the step's own least time; None where it may not."""
    least_words = span_words(step.min)
    if policy.call_limit is not None and step.min < policy.call_limit:
        return (
            f"the step of {step.weight}% lasts {span_words(policy.call_limit)}, as call-limit says, not {least_words}"
        )
    if policy.call_limit is None and step.min < CALL_LIMIT:
        slow = f"a call may take {span_words(CALL_LIMIT)}, and slow ones are often those that fail"
        return f"the step of {step.weight}% may end after {least_words}; {slow}"
    return None


def _key_of(policy: Policy, step: WeightStep) -> str | None:
    """Return the key under which the least time of a step stands; automatic ones on the way to the soak have none."""
    return {SOAK: "soak", 100: "bake"}.get(step.weight) if policy.automatic else "min"


def _of_clusters(policy: Policy) -> Iterator[PolicyWarning]:
    for name in policy.sources.names:
        config = policy.sources.config(name)
        if isinstance(config, PolledConfig) and config.cluster is None:
            what = f"{name} knows no sessions: how many calls fail together is learnt from stable's failures"
            sentence = f"{what}, and until then its evidence counts less: write cluster: 1 where each fails on its own"
            yield PolicyWarning(None, sentence, where=("sources", name), is_note=True)
