"""The steps of a rollout in a row: what was reached, what is now, what is left."""

from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.model.policy import Step, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.words import odds, span, ticking

MOVES = ("rollout.started", "rollout.advanced", "rollout.stepped_back")


@dataclass(frozen=True, slots=True)
class StepShown:
    """One step; ``state`` is done, now, wait, back, skipped, never or later."""

    number: int
    title: str
    state: str
    small: str
    text: str
    is_approval: bool
    share: float | None = None  #: How much of the step's ``max`` has passed; of its ``min`` where it has no ``max``.
    least: float | None = None  #: Where its ``min`` lies in that bar.
    since: datetime | None = None  #: Its clock goes on from here; None: it stands.


@dataclass(frozen=True, slots=True)
class _Visit:
    """One stay at a step."""

    step: int
    begun: datetime
    ended: datetime | None = None
    left_by: str | None = None  #: The author of the command that ended it.


def steps_of(scene: Scene) -> tuple[StepShown, ...]:
    """Return each step of the plan as it stands."""
    visits = {visit.step: visit for visit in _visits(scene)}
    steps = enumerate(scene.rollout.policy.steps, start=1)
    return tuple(_shown(scene, at, step, visits.get(at)) for at, step in steps)


def _visits(scene: Scene) -> list[_Visit]:
    visits: list[_Visit] = []
    for event in scene.events:
        is_move = event.kind in MOVES and event.step is not None
        if (is_move or event.kind == "rollout.promoted") and visits and visits[-1].ended is None:
            visits.append(replace(visits.pop(), ended=event.at, left_by=event.author))
        if is_move and event.step:
            visits.append(_Visit(event.step, event.at))
    if visits and visits[-1].ended is None and scene.rollout.ended_at:
        visits.append(replace(visits.pop(), ended=scene.rollout.ended_at, left_by=scene.rollout.ended_by))
    return visits


def _shown(scene: Scene, at: int, step: Step, visit: _Visit | None) -> StepShown:
    rollout = scene.rollout
    state = _state(rollout, at, visit)
    small, text = _words(scene, step, state, visit)
    share, least = _progress(scene, step) if state == "now" else (None, None)
    is_approval = not isinstance(step, WeightStep)
    is_ticking = state in {"now", "wait"} and not (rollout.paused_at or rollout.trouble_since)
    since = scene.now - rollout.step_age(scene.now) if is_ticking else None
    return StepShown(at, title_of(step), state, small, text, is_approval, share, least, since)


def title_of(step: Step) -> str:
    """Return the name of a step."""
    return f"Weight {step.weight}" if isinstance(step, WeightStep) else "Approval"


def _progress(scene: Scene, step: Step) -> tuple[float | None, float | None]:
    """Return which part of the step's longest time has passed, and where in that its least time lies."""
    if not isinstance(step, WeightStep) or not (whole := (step.max or step.min).total_seconds()):
        return None, None
    share = min(scene.rollout.step_age(scene.now).total_seconds() / whole, 1.0)
    return share, step.min.total_seconds() / whole if step.max else None


def _state(rollout: Rollout, at: int, visit: _Visit | None) -> str:
    if rollout.phase is Phase.PROMOTED:
        return "done" if visit or at == rollout.step else "skipped"
    if at == rollout.step:
        if rollout.phase.is_final:
            return "back"
        return "wait" if rollout.waits_for_approval or rollout.phase is Phase.PAUSED else "now"
    if at < rollout.step:
        return "done" if visit else "skipped"
    return "never" if rollout.phase.is_final else "later"


def _words(scene: Scene, step: Step, state: str, visit: _Visit | None) -> tuple[str, str]:
    match state:
        case "done":
            return "done", _done(scene, step, visit)
        case "skipped":
            return "skipped", "the evidence went past it"
        case "back":
            return _ended(scene, visit), _limits(scene, step)
        case "never":
            return "", "not reached"
        case "now" | "wait":
            return ticking(scene.rollout.step_age(scene.now).total_seconds()), _limits(scene, step)
        case _:
            return "", _limits(scene, step)


def _ended(scene: Scene, visit: _Visit | None) -> str:
    how = "aborted" if scene.rollout.ended_by else str(scene.rollout.phase).replace("_", " ")
    return f"{how} after {span((visit.ended - visit.begun).total_seconds())}" if visit and visit.ended else how


def _done(scene: Scene, step: Step, visit: _Visit | None) -> str:
    if visit is None or visit.ended is None:
        return ""
    took = span((visit.ended - visit.begun).total_seconds())
    if not isinstance(step, WeightStep):
        return f"given by {visit.left_by} after {took}" if visit.left_by else f"after {took}"
    if visit.left_by:
        return f"ended by {visit.left_by} after {took}"
    if step.weight == 100:
        return f"baked for {took}"
    safe = [point.safe for point in scene.judged.points if visit.begun < point.at <= visit.ended]
    return f"proved in {took}" + (f", evidence {odds(safe[-1])}" if safe else "")


def _limits(scene: Scene, step: Step) -> str:
    if not isinstance(step, WeightStep):
        return "a person decides"
    if step.weight == 100:
        return f"bakes {span(step.min.total_seconds())}; then {scene.canary} is the stable version"
    least = f"at least {span(step.min.total_seconds())}" if step.min else ""
    most = f"at most {span(step.max.total_seconds())}" if step.max else ""
    return ", ".join(part for part in (least, most) if part) or "until it is proved"
