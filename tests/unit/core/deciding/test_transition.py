"""A transition holds everything that follows from a decision, and cannot be made where it breaks a law."""

from dataclasses import replace
from typing import Any

import pytest

from builders import NOON, a_rollout
from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.transition import Transition, transition
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.event import HARMED, HELD
from foundry_rollouts.core.model.policy import OnFailure
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of
from foundry_rollouts.errors import BrokenLawError

STABLE = Routing.of({"1": 100})


def on_step(**but: Any) -> Rollout:
    return replace(a_rollout(step=1, phase=Phase.PROGRESSING, started_at=NOON, step_started_at=NOON), **but)


def judged(verdict: Verdict, rollout: Rollout) -> Situation:
    return Situation(NOON, Analysis(verdict, "so many calls", Evidence()), routing=routing_of(rollout))


def test_harm_leads_back_with_its_event_its_target_and_no_next_check() -> None:
    rollout = on_step(event_count=2)
    seen = judged(Verdict.FAIL, rollout)
    step = transition(rollout, rollout, seen)
    assert step.event is not None
    assert (step.decision.move, step.event.kind, step.event.id) == (Move.ROLL_BACK, "rollout.rolled_back", "r-1:3")
    assert (step.target, step.is_retreat, step.due_at(seen)) == (STABLE, True, None)
    assert (step.then.phase, step.then.event_count) == (Phase.ROLLED_BACK, 3)


def test_harm_that_waits_for_a_person_is_recorded_once() -> None:
    rollout = on_step(policy=replace(a_rollout().policy, on_failure=OnFailure.HOLD))
    first = transition(rollout, rollout, judged(Verdict.FAIL, rollout))
    assert first.event is not None
    assert first.event.kind == HARMED
    assert transition(first.then, first.then, judged(Verdict.FAIL, rollout)).event is None


def test_a_wait_is_recorded_where_something_begins_and_not_again() -> None:
    rollout = on_step()
    first = transition(rollout, rollout, judged(Verdict.STALE, rollout))
    assert first.event is not None
    assert first.event.kind == HELD
    assert transition(first.then, first.then, judged(Verdict.STALE, rollout)).event is None


def test_the_endpoint_stays_closed_where_somebody_closed_it() -> None:
    rollout = on_step()
    closed = replace(routing_of(rollout), is_open=False)
    seen = replace(judged(Verdict.FAIL, rollout), routing=closed, is_closed=True)
    assert not transition(rollout, rollout, seen).target.is_open


@pytest.mark.parametrize("target", [Routing.of({"1": 50, "2": 50}), Routing.of({"2": 100})])
def test_a_transition_that_breaks_a_law_cannot_be_made(target: Routing) -> None:
    rollout = on_step()
    with pytest.raises(BrokenLawError):
        Transition(
            before=rollout,
            decision=Decision(Move.HOLD, "no reason"),
            then=rollout,
            seen=routing_of(rollout),
            target=target,
            at=NOON,
        )


def test_how_long_it_takes_is_told_once_and_is_no_reason_to_wait() -> None:
    rollout, told = on_step(), "at 2 calls a second, a good version is promoted after about 57m"
    seen = replace(judged(Verdict.INSUFFICIENT, rollout), time_needed=told)
    first = transition(rollout, rollout, seen)
    assert first.event is not None
    assert (first.event.kind, first.event.because, first.then.because) == (HELD, told, "so many calls")
    assert transition(first.then, first.then, seen).event is None


def test_what_sources_have_to_say_is_told_with_whatever_happens_and_changes_nothing() -> None:
    rollout, notes = on_step(), ("the service fell back",)
    seen = judged(Verdict.INSUFFICIENT, rollout)
    plain, noted = transition(rollout, rollout, seen), transition(rollout, rollout, replace(seen, notes=notes))
    assert plain.event is None
    assert noted.event is not None
    assert (noted.event.kind, noted.event.because) == (HELD, "the service fell back. so many calls")
    assert noted.then == replace(plain.then, event_count=plain.then.event_count + 1)
    failed = transition(rollout, rollout, replace(judged(Verdict.FAIL, rollout), notes=notes))
    assert failed.event is not None
    assert failed.event.because.startswith("the service fell back. ")
    assert failed.event.kind != HELD
