"""What a rollout may expect at the traffic that was measured, and what would make it faster."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import Plan, plan
from foundry_rollouts.core.forecast.words import span_words
from foundry_rollouts.core.model.policy import SOAK, Margin, Policy, WeightStep

#: How often the probe could ask, the next quicker one first.
EVERY = tuple(timedelta(seconds=seconds) for seconds in (10, 5, 2, 1))
#: Limits that could be wider, the next wider one first.
BAD = (Margin(2.0, 0.02), Margin(3.0, 0.05), Margin(3.0, 0.2))
#: What saves less than this part of the time is not worth a change.
WORTH = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the policy, as a file would say it, and how long promotion takes with it."""

    words: str
    until_promoted: timedelta


def time_needed(policy: Policy, calls_per_second: float, stable_rate: float) -> str:
    """Say how long the rollout of a good version takes at that traffic, and what would make it faster."""
    found = plan(policy, Traffic(calls_per_second, stable_rate))
    traffic = f"at {calls_per_second:.2g} calls a second, of which {100 * stable_rate:.2g}% fail on stable"
    waits = ", without the wait for approvals" if found.approvals else ""
    if found.until_promoted is None:
        stuck = next(step.weight for step in found.steps if step.lasts is None)
        said = f"{traffic}, a good version does not get past {stuck}% by itself"
    else:
        steps = ", ".join(f"{span_words(step.lasts)} at {step.weight}%" for step in found.steps if step.lasts)
        said = f"{traffic}, a good version is promoted after about {span_words(found.until_promoted)}{waits} ({steps})"
    return f"{said}; {quicker}" if (quicker := faster_words(found)) else said


def faster_words(found: Plan) -> str:
    """Return what would make the rollouts of a plan faster, as half a sentence; nothing where nothing would."""
    said = [f"{span_words(change.until_promoted)} with {change.words}" for change in faster(found)]
    return "it would take " + " or ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said) if said else ""


def faster(found: Plan) -> tuple[Change, ...]:
    """Return what would make the rollouts of a plan faster, each on its own."""
    now = found.until_promoted
    plans = [(words, plan(policy, found.traffic).until_promoted) for words, policy in _changed(found.policy)]
    known = [Change(words, until) for words, until in plans if until is not None]
    return tuple(change for change in known if now is None or change.until_promoted < (1 - WORTH) * now)


def _changed(policy: Policy) -> Iterator[tuple[str, Policy]]:
    """Yield the next quicker probe, the next wider limit and the next higher first weight."""
    probe, bad = policy.sources.probe, policy.judge.bad
    if probe and (every := next((each for each in EVERY if each < probe.every), None)):
        sources = replace(policy.sources, probe=replace(probe, every=every))
        yield f"a probe every {span_words(every)}", replace(policy, sources=sources)
    wider = (each for each in BAD if each.ratio >= bad.ratio and each.points >= bad.points and each != bad)
    if (line := next(wider, None)) is not None:
        yield f"bad: {line}", replace(policy, judge=replace(policy.judge, bad=line))
    yield from _begun_higher(policy)


def _begun_higher(policy: Policy) -> Iterator[tuple[str, Policy]]:
    first, *rest = policy.steps
    if policy.automatic or not isinstance(first, WeightStep):
        return
    weight = min(2 * first.weight, SOAK)
    higher = min((step.weight for step in rest if isinstance(step, WeightStep)), default=0)
    if first.weight < weight < higher:
        steps = (replace(first, weight=weight), *rest)
        yield f"a first weight of {weight}%", replace(policy, steps=steps)
