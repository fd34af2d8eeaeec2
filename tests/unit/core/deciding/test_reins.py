"""Reins keep a rollout from starting and rising, and never from going back."""

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON, a_rollout
from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.reins import Rein, ReinKind, rein_of, reined
from foundry_rollouts.core.deciding.transition import transition
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.model.brake import Brake, BrakeKind, Scope
from foundry_rollouts.core.model.calendar import Calendar, Hours, Span, closed_at
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing, routing_of

FREEZE = Rein(ReinKind.FREEZE, "a freeze (year end) holds", "the freeze to end")
STABLE = Routing.of({"1": 100})
UNDER_WAY = a_rollout(
    phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, measured_until=NOON, event_count=2
)
UP = {Move.START, Move.ADVANCE}


def analysis(verdict: Verdict) -> Analysis:
    return Analysis(verdict, "so", initial(UNDER_WAY.policy, ()))


def situation(verdict: Verdict, *, verb: Verb | None = None, after: timedelta = timedelta(minutes=2)) -> Situation:
    now = NOON + after
    asked = (Command("c-1", "r-1", verb, 1, now, "kim", "kim asks"),) if verb else ()
    return Situation(now, analysis(verdict), asked, routing=routing_of(UNDER_WAY), reins=(FREEZE,))


def test_a_start_waits_and_says_what_it_waits_for() -> None:
    rollout = a_rollout(event_count=1)
    step = transition(rollout, rollout, Situation(NOON, routing=STABLE, reins=(FREEZE,)))
    assert (step.then.phase, step.target, step.then.held_by) == (Phase.PENDING, STABLE, "freeze")
    assert step.then.waiting_for == "the freeze to end"
    assert step.then.because.startswith("a freeze (year end) holds. Once that is over: version 2 is active")
    assert step.event is not None
    assert step.event.kind == "rollout.held"
    again = transition(step.then, step.then, Situation(NOON + timedelta(seconds=10), routing=STABLE, reins=(FREEZE,)))
    assert again.event is None, "once is enough"
    free = transition(again.then, again.then, Situation(NOON + timedelta(hours=9), routing=STABLE))
    assert (free.decision.move, free.then.held_by) == (Move.START, None)


def test_what_a_person_asks_stays_open_until_it_may_be_done() -> None:
    seen = situation(Verdict.INSUFFICIENT, verb=Verb.PROMOTE)
    step = transition(UNDER_WAY, UNDER_WAY, seen)
    assert (step.then.step, step.answered, step.then.held_by) == (1, (), "freeze")
    due = step.due_at(seen)
    assert due is not None
    assert due > seen.now, "nobody ticks without a pause for it"
    assert transition(step.then, step.then, replace(seen, reins=())).then.step == 2


@pytest.mark.parametrize(
    ("verdict", "verb"), [(Verdict.FAIL, None), (Verdict.INSUFFICIENT, Verb.ABORT), (Verdict.PASS, Verb.ABORT)]
)
def test_going_back_never_waits(verdict: Verdict, verb: Verb | None) -> None:
    step = transition(UNDER_WAY, UNDER_WAY, situation(verdict, verb=verb))
    assert (step.then.phase, step.target, step.then.held_by) == (Phase.ROLLED_BACK, STABLE, None)


def test_the_deadline_stands_while_a_rollout_is_held() -> None:
    held = transition(UNDER_WAY, UNDER_WAY, situation(Verdict.INSUFFICIENT, verb=Verb.PROMOTE)).then
    later = NOON + timedelta(days=3)
    assert held.age(later) == timedelta(minutes=2)
    free = transition(held, held, Situation(later, analysis(Verdict.INSUFFICIENT), routing=routing_of(UNDER_WAY))).then
    assert (free.phase, free.age(later + timedelta(minutes=1))) == (Phase.PROGRESSING, timedelta(minutes=3))


def test_weights_that_another_hand_lowered_are_not_raised_again_and_those_it_raised_are_lowered() -> None:
    restore = Decision(Move.RESTORE, "so")
    assert reined(UNDER_WAY, restore, (FREEZE,), STABLE) is not None
    assert reined(UNDER_WAY, restore, (FREEZE,), Routing.of({"2": 100})) is None


@pytest.mark.parametrize("move", [move for move in Move if move not in UP | {Move.RESTORE, Move.RESUME}])
def test_no_other_move_is_ever_held(move: Move) -> None:
    assert reined(UNDER_WAY, Decision(move, "so"), (FREEZE,), STABLE) is None


def test_a_hold_alone_keeps_a_version_from_becoming_stable() -> None:
    hold, promote = Rein(ReinKind.HOLD, "kim holds it", "the hold to end"), Decision(Move.PROMOTE, "so")
    wait = reined(UNDER_WAY, promote, (FREEZE, hold), STABLE)
    assert wait is not None
    assert (wait.because, wait.waiting_for) == ("kim holds it. Once that is over: so", "the hold to end")


def test_a_return_to_the_version_that_was_stable_before_starts_at_once() -> None:
    rollout = a_rollout(is_revert=True, event_count=1)
    assert transition(rollout, rollout, Situation(NOON, routing=STABLE, reins=(FREEZE,))).decision.move is Move.START


CLOCKS = st.times().map(lambda each: each.replace(microsecond=0, tzinfo=None))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"])
HOURS = st.builds(
    Hours, st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))), CLOCKS, CLOCKS, ZONES
)
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31)).map(lambda each: each.replace(tzinfo=NOON.tzinfo))  # noqa: DTZ001
SPANS = st.builds(lambda since, days: Span(since, since + timedelta(days=days)), INSTANTS, st.integers(1, 400))
CALENDARS = st.builds(
    Calendar,
    st.lists(HOURS, max_size=3).map(tuple),
    st.lists(st.one_of(HOURS, SPANS), min_size=1, max_size=4).map(tuple),
)


LINES = st.builds(Scope, st.just(BrakeKind.LINE), st.sampled_from(["", "shop"]))
ENDS = st.one_of(st.none(), INSTANTS)
STOPS = st.builds(Brake, st.just("b-1"), LINES, st.just("an incident"), st.just("kim"), INSTANTS, ENDS)
HELD = Scope(BrakeKind.HOLD, agent=UNDER_WAY.agent)
HOLDS = st.builds(
    Brake, st.just("b-2"), st.just(HELD), st.just("the fair"), st.just("lee"), INSTANTS, ENDS, st.just("1")
)
BRAKES = st.lists(st.one_of(STOPS, HOLDS), max_size=4)


@given(calendar=CALENDARS, brakes=BRAKES, at=INSTANTS)
def test_no_instant_of_any_calendar_stop_or_hold_lets_a_rollback_wait(
    calendar: Calendar, brakes: list[Brake], at: datetime
) -> None:
    closed = closed_at(calendar, at, {})
    frozen = (Rein(ReinKind.FREEZE, closed.because, "its end"),) if closed else ()
    standing = [each for each in brakes if each.is_on(at) and each.keeps(UNDER_WAY.agent, UNDER_WAY.canary)]
    reins = (*frozen, *map(rein_of, standing))
    rollout = replace(UNDER_WAY, started_at=at, step_started_at=at, measured_until=at)
    harmed = Situation(at, analysis(Verdict.FAIL), routing=routing_of(rollout), reins=reins)
    assert transition(rollout, rollout, harmed).then.phase is Phase.ROLLED_BACK
    asked = replace(
        harmed, analysis=analysis(Verdict.PASS), commands=(Command("c", "r-1", Verb.ABORT, 1, at, "kim", "so"),)
    )
    assert transition(rollout, rollout, asked).target == STABLE
    if closed and closed.until:
        assert closed.until > at
        assert closed_at(calendar, closed.until, {}) is None


def test_midnight_to_midnight_is_a_whole_day() -> None:
    span = Hours((0,), time(), time()).on(NOON.date(), is_wide=True)
    assert span is not None
    assert span.until - span.since == timedelta(days=1)
