"""What the history records of a decision: every move, what begins with a wait, and whom or what is waited for."""

from dataclasses import replace
from datetime import datetime

from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.unreadable import is_news
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.model.awaited import Waiting, waits_for
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.event import HARMED, HELD, WAITING, Event, of_rollout
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import routing_of

#: Silences that the history records, once each.
RECORDED_SILENCES = {Verdict.SOURCE_ERROR, Verdict.STALE, Verdict.SHARED_TROUBLE, Verdict.SPLIT_IGNORED}


def recording(
    recorded: Rollout, rollout: Rollout, then: Rollout, decision: Decision, seen: Situation
) -> tuple[Rollout, Event | None]:
    """Return ``then`` as it counts what was recorded, and the event; None: nothing that the history records."""
    event = _event(rollout, then, decision, seen.now) if _is_recorded(recorded, decision, then, seen.analysis) else None
    if event and decision.move is Move.HOLD and _is_harm_new(recorded, then):
        event = replace(event, kind=HARMED)
    if event is None and decision.move is Move.HOLD and seen.time_needed and not then.is_time_told:
        then = replace(then, is_time_told=True)
        event = replace(_event(rollout, then, decision, seen.now), because=seen.time_needed)
    waits = waits_for(then, seen.now)
    if event is None and decision.move is Move.HOLD and waits is not None and waits != then.wait_told:
        event = replace(_event(rollout, then, decision, seen.now), kind=WAITING, waits_for=waits.value)
    event = _with_notes(event or _event(rollout, then, decision, seen.now), seen.notes) if seen.notes else event
    waited = _wait_recorded(then, decision, event, waits)
    return replace(then, wait_told=waited, event_count=rollout.event_count + (event is not None)), event


def _wait_recorded(then: Rollout, decision: Decision, event: Event | None, waits: Waiting | None) -> str | None:
    """Return which wait the history has by now; whoever paused a rollout knows that it waits."""
    if waits is None:
        return None
    is_theirs = decision.move is Move.PAUSE and decision.author is not None
    is_now = event is not None and event.kind == WAITING
    return waits.value if is_theirs or is_now else then.wait_told


def _with_notes(event: Event, notes: tuple[str, ...]) -> Event:
    """Return the event with what sources have to say, which the history tells at once."""
    return replace(event, because=". ".join((*notes, event.because)))


def _event(rollout: Rollout, then: Rollout, decision: Decision, now: datetime) -> Event:
    event = of_rollout(rollout, decision.move.event or HELD, decision.because, now)
    weights = dict(routing_of(then).weights)
    return replace(event, step=then.step or None, weights=weights, author=decision.author, phase=then.phase.value)


def _is_recorded(recorded: Rollout, decision: Decision, then: Rollout, analysis: Analysis | None) -> bool:
    """Whether the history records a decision: every move, and a wait when something of note begins with it.

    A routing that another hand changes again and again is recorded once and then by reminders, however often it is
    restored.
    """
    if decision.move is Move.RESTORE and decision.is_contested:
        return then.contest is not None and then.contest.told_at == then.contest.at
    if decision.move is not Move.HOLD or is_news(recorded, decision):
        return True
    if then.held_told is not None and then.held_told != recorded.held_told:
        return True
    if _is_harm_new(recorded, then) or then.is_stable_gone != recorded.is_stable_gone:
        return True
    if then.split_noted != recorded.split_noted:
        return True
    return analysis is not None and analysis.verdict in RECORDED_SILENCES and analysis.verdict != recorded.verdict


def _is_harm_new(recorded: Rollout, then: Rollout) -> bool:
    """Whether harm was just proved at this step."""
    return then.harmed_at is not None and then.harmed_at != recorded.harmed_at
