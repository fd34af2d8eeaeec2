"""What a rollout waits for, one thing after the other, and what happens if it never comes."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from foundry_rollouts.core.deciding.approving import awaited, step_of
from foundry_rollouts.core.deciding.progress import on_silence
from foundry_rollouts.core.model.policy import OnNoEvidence, WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.step_track import title_of
from foundry_rollouts.operations.page.words import clock, counted, limit, odds, span, ticking

OTHERWISE = {
    OnNoEvidence.HOLD: "it holds there. It never goes on without proof.",
    OnNoEvidence.PAUSE: "it pauses until a person decides.",
    OnNoEvidence.ROLLBACK: "it goes back to {stable}.",
    OnNoEvidence.ADVANCE_IF_NOT_GROSS: "it goes on if {canary} is proved less than 16 points worse, else it holds.",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A meter with two ends, each as a part of what it takes: forward to the right, back to the left."""

    forward: float
    back: float
    words: str


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that is waited for; ``have`` of what is needed is ``share``, ``until`` is when it is there."""

    kind: str
    name: str
    have: str
    text: str
    is_now: bool = True
    share: float | None = None
    until: datetime | None = None
    remaining: float | None = None  #: Seconds.
    evidence: Evidence | None = None


def waits_of(scene: Scene) -> tuple[Wait, ...]:
    """Return what is waited for, the present things first; nothing once the rollout has ended."""
    rollout = scene.rollout
    if rollout.phase.is_final:
        return ()
    if rollout.phase is Phase.PAUSED:
        return (Wait("person", "A person", "now", "to resume or to abort; harm still rolls back"), *_later(scene))
    if rollout.step == 0:
        return (Wait("begin", "The beginning", "", rollout.waiting_for or rollout.because), *_later(scene))
    if rollout.waits_for_approval:
        return (_approval(scene), *_later(scene))
    return (*_now(scene), *_later(scene))


def _approval(scene: Scene) -> Wait:
    """Return whose approvals are missing, and until when."""
    step = step_of(scene.rollout)
    if step is None or not step.is_guarded:
        return Wait("approval", "Approval", "now", "by a person with the role operator")
    text = awaited(scene.rollout, scene.now).partition("; ")[2]
    return Wait("approval", "Approval", f"{len(scene.rollout.approvals)} of {step.count}", text)


def _now(scene: Scene) -> list[Wait]:
    found = [_bake(scene)]
    if scene.rollout.weight < 100:
        found.insert(0, _evidence(scene))
    waits = [wait for wait in found if wait]
    said = scene.rollout.waiting_for
    if not waits and said:
        return [Wait("other", "The next tick", "", said)]
    return waits


def _evidence(scene: Scene) -> Wait | None:
    judge, last = scene.rollout.policy.judge, scene.last
    need, back = -math.log(judge.missed_bad), -math.log(judge.false_rollback)
    is_of_step = last is not None and last.step == scene.rollout.step
    safe, harm = (last.safe, last.harm) if last and is_of_step else (0.0, 0.0)
    forward, backward = (min(max(log / most, 0.0), 1.0) for log, most in ((safe, need), (harm, back)))
    words = (
        f"Evidence: {odds(safe)} that it is safe, advances at {limit(judge.missed_bad)}; {odds(harm)} that it is"
        f" worse, rolls back at {limit(judge.false_rollback)}"
    )
    meter = Evidence(forward, backward, words)
    have = f"{odds(safe)}, needs {limit(judge.missed_bad)}"
    is_proved = forward >= 1 and harm <= 0
    return Wait(
        "evidence", "Evidence", have, "proved" if is_proved else _missing(scene), is_now=not is_proved, evidence=meter
    )


def _missing(scene: Scene) -> str:
    waiting = [
        reading.because for reading in scene.readings if reading.missing_calls is None and not reading.is_dry_run
    ]
    missing = [reading.missing_calls for reading in scene.readings if reading.missing_calls]
    if not missing:
        return waiting[0] if waiting else scene.rollout.waiting_for or f"calls on {scene.canary} at this weight"
    calls, each_second = max(missing), scene.per_second()[0]
    time = f", about {span(calls / each_second)} at this traffic" if each_second else ""
    return f"about {counted(calls, 'more call')} on {scene.canary}{time}"


def _bake(scene: Scene) -> Wait | None:
    rollout, step = scene.rollout, scene.rollout.present_step
    if not isinstance(step, WeightStep) or not step.min:
        return None
    age = rollout.step_age(scene.now)
    left = max(step.min - age, timedelta(0))
    until = scene.now + left
    share = min(age / step.min, 1.0)
    text = f"weight {step.weight} lasts at least {span(step.min.total_seconds())}"
    if not left:
        return Wait("bake", "Bake time", "over", text, is_now=False, share=1.0)
    return Wait(
        "bake",
        "Bake time",
        ticking(left.total_seconds()),
        f"{text}, until {clock(until, scene.now)}",
        share=share,
        until=until,
        remaining=left.total_seconds(),
    )


def _later(scene: Scene) -> tuple[Wait, ...]:
    step = scene.next_step
    if step is None:
        text = f"{scene.canary} becomes the stable version"
        return (Wait("then", "Promotion", "then", text, is_now=False),)
    if not isinstance(step, WeightStep):
        text = f"by a person; after that weight {scene.next_weight}"
        return (Wait("then", "Approval", "then", text, is_now=False),)
    return (Wait("then", title_of(step), "then", f"of new sessions to {scene.canary}", is_now=False),)


def otherwise_of(scene: Scene) -> str | None:
    """Say what happens when the proof never comes."""
    rollout, step = scene.rollout, scene.rollout.present_step
    if rollout.phase.is_final or rollout.phase is Phase.PAUSED:
        return None
    if rollout.waits_for_approval:
        return f"It goes on only when a person approves. {_deadline(scene)}"
    if isinstance(step, WeightStep) and step.max and step.weight < 100:
        until = scene.now + max(step.max - rollout.step_age(scene.now), timedelta(0))
        then = OTHERWISE[on_silence(rollout)].format(stable=scene.stable, canary=scene.canary)
        return f"Not proved by {clock(until, scene.now)}: {then}"
    return _deadline(scene) or None


def _deadline(scene: Scene) -> str:
    left = scene.rollout.policy.deadline - scene.rollout.age(scene.now)
    if scene.rollout.started_at is None or left <= timedelta(0):
        return ""
    return f"After {clock(scene.now + left, scene.now)} it pauses and waits for a person."
