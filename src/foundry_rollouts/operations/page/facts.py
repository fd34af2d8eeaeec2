"""Four facts under the sentence: harm in calls, sessions, and time; each with where it comes from."""

from dataclasses import dataclass

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.words import NONE, clock, counted, number, odds, span


@dataclass(frozen=True, slots=True)
class Fact:
    """One number with its name and where it comes from."""

    name: str
    value: str
    source: str


def facts_of(scene: Scene) -> tuple[Fact, ...]:
    """Return the facts that matter in the rollout's state."""
    rollout = scene.rollout
    if rollout.started_at is None or not scene.judged.is_whole:
        return ()
    if rollout.phase in {Phase.ROLLED_BACK, Phase.DISABLED} and not rollout.ended_by and scene.last:
        return (harm(scene), _way_back(scene), _chance(scene), _spared(scene))
    return (harm(scene), _new_sessions(scene), _traffic(scene), _time(scene))


def harm(scene: Scene) -> Fact:
    """Return how many calls failed because of the canary, about."""
    tally = scene.failed()
    failed, expected = tally.canary_failures, _expected(scene)
    many = failed - expected
    if not tally.canary_calls:
        return Fact(_harm_title(scene), "nothing seen yet", f"no call on {scene.canary} was counted")
    value = f"about {counted(many, 'call')} failed" if many >= 1 and not _is_calm(scene) else "none seen"
    of = f"{counted(failed, 'call')} of {number(tally.canary_calls)} failed on {scene.canary}"
    return Fact(_harm_title(scene), value, f"{of}; {_would(scene, expected)}")


def _harm_title(scene: Scene) -> str:
    return "Harm" if scene.rollout.phase.is_final else "Harm so far"


def _would(scene: Scene, expected: float) -> str:
    return f"{scene.stable} would have failed {number(expected)}" if scene.rollout.stable else "nothing to compare with"


def _is_calm(scene: Scene) -> bool:
    """Whether nothing speaks against the canary: then more failures than expected may be chance."""
    return scene.last is None or scene.last.harm <= 0.0005


def _expected(scene: Scene) -> float:
    """Return how many of the canary's calls would have failed on stable: weight by weight, as each had its own time."""
    expected, first = 0.0, None
    for last in scene.step_ends():
        part = scene.failed(first, last)
        expected += part.canary_calls * part.stable_failures / part.stable_calls if part.stable_calls else 0.0
        first = last
    return expected


def _new_sessions(scene: Scene) -> Fact:
    tick = scene.judged.last
    splits = tick.analysis.evidence.splits if tick else ()
    split = max(splits, key=lambda each: each.canary + each.stable, default=None)
    if split is None or not split.canary + split.stable:
        return Fact("New sessions", "not counted", f"{scene.rollout.weight} of 100 go to {scene.canary} by the weight")
    sessions = split.canary + split.stable
    how = "they do not follow the weight" if split.is_ignored else "the cloud divides them as set"
    how += f", {tick.weight} of 100" if tick else ""
    return Fact("New sessions", f"{number(split.canary)} of {number(sessions)} on {scene.canary}", how)


def _traffic(scene: Scene) -> Fact:
    canary, both = scene.per_second()
    if not both:
        is_early = len(scene.judged.points) < 2
        of = "two measurements tell" if is_early else "in the last 5 minutes"
        return Fact("Traffic", "not known yet" if is_early else "no calls seen", of)
    rate = f"{both:.1f}" if both < 10 else number(both)
    return Fact("Traffic", f"{rate} calls a second", f"{100 * canary / both:.0f}\u202f% of them on {scene.canary}")


def _time(scene: Scene) -> Fact:
    rollout = scene.rollout
    if rollout.ended_at and rollout.started_at:
        took = span((rollout.ended_at - rollout.started_at).total_seconds())
        return Fact("Took", took, f"ended {clock(rollout.ended_at, scene.now)}")
    most = span(rollout.policy.deadline.total_seconds())
    age = span(rollout.age(scene.now).total_seconds())
    return Fact("Under way", f"{age} of at most {most}", "then it pauses for a person")


def _way_back(scene: Scene) -> Fact:
    began, ended = scene.harm_began(), scene.rollout.ended_at
    if began is None or ended is None:
        return _time(scene)
    took = span((ended - began.at).total_seconds())
    return Fact("From the first harm to the way back", took, f"first harm {clock(began.at)}, back {clock(ended)}")


def _chance(scene: Scene) -> Fact:
    share = scene.rollout.policy.judge.false_rollback
    found = odds(scene.last.harm) if scene.last else NONE
    value = f"under 1 in {found.removesuffix(' : 1').removeprefix('over ')}" if found != NONE else "not tested"
    return Fact(
        "Could it be chance?", value, f"versions within tolerance look this bad; accepted is 1 in {1 / share:.0f}"
    )


def _spared(scene: Scene) -> Fact:
    began, last = scene.harm_began(), scene.last
    tally = scene.failed(began) if began else Tally()
    seconds = (last.at - began.at).total_seconds() if began and last else 0
    if not seconds or not tally.canary_calls:
        return _time(scene)
    stable = tally.stable_failures / tally.stable_calls if tally.stable_calls else 0.0
    excess = max(tally.canary_failures - stable * tally.canary_calls, 0.0) * 60 / seconds
    weight = last.weight if last else 0
    return Fact(
        "Without the rollback", f"about {counted(excess, 'call')} a minute", f"would go on failing at weight {weight}"
    )
