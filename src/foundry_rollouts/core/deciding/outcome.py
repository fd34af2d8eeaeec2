"""How a rollout stands once a decision is confirmed."""

from dataclasses import replace
from datetime import datetime, timedelta

from foundry_rollouts.core.deciding.decide import PERSON
from foundry_rollouts.core.judging.constants import STEP_BACKS
from foundry_rollouts.core.model.contest import restored
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import SessionsOnRollback
from foundry_rollouts.core.model.rollout import Phase, Rollout, Stops


def after(rollout: Rollout, decision: Decision, now: datetime) -> Rollout:
    """Return the rollout as it stands once ``decision`` is confirmed by the cloud."""
    said = replace(rollout, because=decision.because, waiting_for=decision.waiting_for)
    if decision.move.ends_in is not None:
        ended = _ended(said, decision.move.ends_in, now)
        return replace(ended, ended_by=decision.author or decision.ended_by)
    match decision.move:
        case Move.HOLD | Move.APPROVE | Move.VOID:
            return _with_approvals(said, decision)
        case Move.DECLINE:
            return rollout
        case Move.START:
            began = replace(_stepped(said, now, decision.step), held_time=timedelta(0))
            return replace(began, phase=Phase.PROGRESSING, started_at=now, measured_until=now)
        case Move.ADVANCE:
            return replace(_stepped(_resumed(said, now), now, decision.step), phase=Phase.PROGRESSING)
        case Move.STEP_BACK:
            return _stepped_back(said, now, decision.step)
        case Move.PAUSE:
            # A command raised the generation when it was accepted; a pause of our own accord raises it here.
            grown = said.generation + (decision.author is None)
            said = said.with_clocks(now, is_troubled=False)
            return replace(said, phase=Phase.PAUSED, paused_at=now, waiting_for=PERSON, generation=grown)
        case Move.RESUME:
            phase = Phase.PROGRESSING if rollout.step else Phase.PENDING
            return replace(_resumed(said, now), phase=phase, is_held=False)
        case Move.RESTORE:
            contest = restored(said.contest, now) if decision.is_contested else said.contest
            return replace(said, generation=said.generation + 1, contest=contest)
        case other:
            raise ValueError(f"{other} has no outcome")


def _with_approvals(rollout: Rollout, decision: Decision) -> Rollout:
    """Return the rollout with one approval more, or without those that no longer count."""
    if decision.move is Move.HOLD:
        return rollout
    given = replace(rollout, approvals=decision.approvals)
    if decision.move is Move.APPROVE:
        return given
    # A command raised the generation when it was accepted; who saw what is void by now reads it again.
    return replace(given, asked_about=None, generation=rollout.generation + 1)


def _stepped(rollout: Rollout, now: datetime, step: int | None = None) -> Rollout:
    number = step or rollout.step + 1
    rollout = replace(rollout.with_clocks(now, is_troubled=False), step_trouble_time=timedelta(0))
    begun = replace(rollout, step=number, step_started_at=now, generation=rollout.generation + 1)
    return replace(begun, approvals=(), asked_about=None)


def _stepped_back(rollout: Rollout, now: datetime, step: int | None) -> Rollout:
    """Return the rollout at the lower step, where it is judged as ever; the third time a person has the word."""
    back = replace(_stepped(rollout, now, step), step_backs=rollout.step_backs + 1)
    if back.step_backs < STEP_BACKS and back.phase is not Phase.PAUSED:
        return back
    stood = now - back.paused_at if back.paused_at else timedelta(0)
    time = back.trouble_time + stood
    return replace(back, phase=Phase.PAUSED, paused_at=now, trouble_time=time, waiting_for=PERSON)


def _resumed(rollout: Rollout, now: datetime) -> Rollout:
    """End a pause: the step did not age while it lasted, and the deadline counts anew."""
    if rollout.paused_at is None:
        return rollout
    pause = now - rollout.paused_at
    began = rollout.step_started_at + pause if rollout.step_started_at else None
    anew = replace(rollout, paused_at=None, resumed_at=now, trouble_time=timedelta(0), is_trouble_asked=False)
    anew = replace(anew, held_time=timedelta(0))
    return replace(anew, step_started_at=began)


def _ended(rollout: Rollout, phase: Phase, now: datetime) -> Rollout:
    is_stopped = rollout.policy.sessions_on_rollback is SessionsOnRollback.STOP
    stops = Stops() if is_stopped and phase in {Phase.ROLLED_BACK, Phase.DISABLED} else None
    return replace(rollout, phase=phase, ended_at=now, generation=rollout.generation + 1, stops=stops)
