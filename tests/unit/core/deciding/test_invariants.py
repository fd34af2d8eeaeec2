"""No step may do what no step may do: right steps pass, and every wrong one that is planted is refused."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.invariants import Step, check, check_pin
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.deciding.transition import may_move
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.policy import Automatic, OnFailure, OnNoEvidence, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing, routing_of
from foundry_rollouts.errors import BrokenLawError

LATER = NOON + timedelta(minutes=5)
LISTS = (
    (WeightStep(10), WeightStep(50), WeightStep(100)),
    (WeightStep(5), ApprovalStep(), WeightStep(50), WeightStep(100)),
)
POLICIES = st.builds(
    a_policy,
    steps=st.sampled_from(LISTS),
    on_drift=st.sampled_from(list(OnDrift)),
    on_failure=st.sampled_from(list(OnFailure)),
    on_no_evidence=st.sampled_from(list(OnNoEvidence)),
) | st.just(a_policy(steps=Automatic().steps, automatic=Automatic()))
AUTHORS = st.sampled_from([None, "anna"])
ROUTINGS = st.sampled_from(
    [
        Routing.of(weights, is_open=is_open)
        for weights in (
            {"1": 100},
            {"1": 90, "2": 10},
            {"1": 50, "2": 50},
            {"2": 100},
            {LATEST: 100},
            {"1": 60, "3": 40},
        )
        for is_open in (True, False)
    ]
)
KINDS: tuple[Any, ...] = (
    *(
        Move.START,
        Move.ADVANCE,
        Move.PROMOTE,
        Move.ROLL_BACK,
        Move.DISABLE,
        Move.STEP_BACK,
        Move.PAUSE,
        Move.RESUME,
        Move.RESTORE,
        Move.SUPERSEDE,
        Move.FAIL,
        Move.ABORT,
        Move.DECLINE,
    ),
)
DECISIONS: st.SearchStrategy[Decision] = st.just(Decision(Move.HOLD, "so")) | st.builds(
    lambda move, author: Decision(move, "so", author=author), st.sampled_from(KINDS), AUTHORS
)


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    policy = draw(POLICIES)
    step = draw(st.integers(0, len(policy.steps)))
    waiting, begun = [Phase.PENDING, Phase.PAUSED], [Phase.PROGRESSING, Phase.PAUSED]
    ends = [phase for phase in Phase if phase.is_final]
    phase = draw(st.sampled_from((begun if step else waiting) * 3 + ends))
    return a_rollout(
        policy=policy,
        step=step,
        phase=phase,
        stable=draw(st.sampled_from(["1", "1", "1", None])),
        author=draw(AUTHORS),
        is_revert=draw(st.booleans()),
        is_stable_gone=bool(step) and draw(st.sampled_from([False, False, True])),
        started_at=NOON if step else None,
        step_started_at=NOON if step else None,
    )


def an_analysis(verdict: Verdict, **but: Any) -> Analysis:
    return Analysis(verdict, "so many calls", Evidence(), **but)


@st.composite
def situations(draw: st.DrawFn, rollout: Rollout) -> Situation:
    verb, says = draw(st.sampled_from([None, None, *Verb])), st.sampled_from([None, None, None, "so"])
    verdicts = st.builds(
        an_analysis,
        st.sampled_from(list(Verdict)),
        is_not_gross=st.booleans(),
        guarded=says if rollout.weight == 100 else st.none(),
        suspicion=says,
        longest_call=st.sampled_from([timedelta(0), timedelta(minutes=1)]),
    )
    command = Command("c-1", "r-1", verb, rollout.generation, NOON, "anna", None, "key") if verb else None
    return Situation(
        now=NOON + draw(st.sampled_from([timedelta(seconds=10), timedelta(hours=2), timedelta(days=30)])),
        analysis=draw(verdicts) if rollout.step else None,
        commands=(command,) if command else (),
        waits_for=draw(says),
        failure=draw(says),
        is_gone=draw(st.sampled_from([False, False, False, True])),
        is_canary_gone=draw(st.sampled_from([False, False, False, True])),
        doubt=draw(says),
        newer=draw(says),
        cloud_error=draw(says),
        drift=draw(says),
        late_change=draw(says),
    )


def a_step(before: Rollout, decision: Decision, seen: Routing, target: Routing | None = None, **but: Any) -> Step:
    """Return the step as the tick puts it together, but for what is wrong with it on purpose."""
    then = after(before, decision, LATER)
    planned = routing_of(then)
    planned = replace(planned, is_open=planned.is_open and seen.is_open) if may_move(before, decision) else seen
    return Step(before, then, decision, seen, planned if target is None else target, **but)


def progressing(step: int = 1, **but: Any) -> Rollout:
    return a_rollout(step=step, phase=Phase.PROGRESSING, started_at=NOON, step_started_at=NOON, **but)


def refused(step: Step, law: str) -> None:
    with pytest.raises(BrokenLawError, match=law):
        check(step)


PROVED = an_analysis(Verdict.PASS)
AT_10, AT_50, STABLE = (Routing.of(weights) for weights in ({"1": 90, "2": 10}, {"1": 50, "2": 50}, {"1": 100}))


@given(st.data())
def test_every_step_that_is_decided_passes(data: st.DataObject) -> None:
    before = data.draw(rollouts())
    seen = data.draw(situations(before))
    decision = decide(before, seen)
    planned = {Move.START: STABLE, Move.STEP_BACK: routing_of(before)}
    routing = planned.get(decision.move) or data.draw(ROUTINGS)
    check(a_step(before, decision, routing, analysis=seen.analysis))


@given(before=rollouts(), decision=DECISIONS, seen=ROUTINGS, target=ROUTINGS)
def test_no_step_that_passes_gives_the_canary_more_without_a_reason(
    before: Rollout, decision: Decision, seen: Routing, target: Routing
) -> None:
    step = a_step(before, decision, seen, target, analysis=an_analysis(Verdict.INSUFFICIENT), earlier="rollout r-0")
    try:
        check(step)
    except BrokenLawError:
        assume(False)
    if step.raises and target.is_open:
        has_word = getattr(decision, "author", None) is not None or before.author is not None
        assert (
            has_word
            or decision.move is Move.RESTORE
            or before.policy.on_no_evidence is OnNoEvidence.ADVANCE_IF_NOT_GROSS
            or before.policy.automatic
        )
        assert not before.phase.is_final
        assert before.step or decision.move is Move.START


@given(before=rollouts(), seen=ROUTINGS, kind=st.sampled_from([Move.ROLL_BACK, Move.DISABLE, Move.SUPERSEDE]))
def test_a_way_back_to_stable_is_never_blocked(before: Rollout, seen: Routing, kind: Move) -> None:
    assume(before.step and not before.phase.is_final and before.stable)
    target = Routing.of({"1": 100}, is_open=kind is not Move.DISABLE and seen.is_open)
    check(a_step(before, Decision(kind, "harm"), seen, target))


@given(before=rollouts(), seen=ROUTINGS, target=ROUTINGS, decision=DECISIONS)
def test_ending_what_never_began_moves_nothing(
    before: Rollout, seen: Routing, target: Routing, decision: Decision
) -> None:
    before = replace(before, step=0, phase=Phase.PENDING, is_stable_gone=False)
    assume(seen != target and decision.move is not Move.START)
    with pytest.raises(BrokenLawError):
        check(a_step(before, decision, seen, target))


@pytest.mark.parametrize(
    "ending",
    [
        Decision(Move.FAIL, "no"),
        Decision(Move.ABORT, "no", author="anna"),
        Decision(Move.SUPERSEDE, "no", goes_back=True),
    ],
)
def test_what_never_began_leaves_what_another_hand_set(ending: Decision) -> None:
    check(a_step(a_rollout(), ending, AT_50))
    refused(a_step(a_rollout(), ending, AT_50, STABLE), "has not begun")


@pytest.mark.parametrize("kind", [Move.ROLL_BACK, Move.PROMOTE, Move.ADVANCE])
def test_what_never_began_ends_as_nothing_that_moves(kind: Move) -> None:
    refused(a_step(a_rollout(), Decision(kind, "so", author="anna"), STABLE), "has not begun")


def test_only_a_person_tries_a_version_again() -> None:
    refused(
        a_step(a_rollout(), Decision(Move.START, "so"), STABLE, earlier="rollout r-0, which is rolled_back"),
        "was tried before",
    )
    check(
        a_step(
            a_rollout(author="anna"), Decision(Move.START, "so"), STABLE, earlier="rollout r-0, which is rolled_back"
        )
    )
    check(a_step(a_rollout(), Decision(Move.START, "so"), STABLE))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.is_final])
def test_nothing_goes_on_after_its_end(phase: Phase) -> None:
    ended = progressing(step=2)
    ended = replace(ended, phase=phase)
    check(a_step(ended, Decision(Move.HOLD, "over"), STABLE))
    refused(a_step(ended, Decision(Move.ADVANCE, "so", author="anna"), STABLE), "never goes on")
    refused(a_step(ended, Decision(Move.HOLD, "over"), STABLE, AT_50), "never goes on")
    refused(a_step(ended, Decision(Move.RESUME, "so", author="anna"), STABLE, AT_50), "never goes on")


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.PASS])
def test_a_step_forward_needs_proof_or_a_person(verdict: Verdict) -> None:
    refused(
        a_step(progressing(), Decision(Move.ADVANCE, "so"), AT_10, analysis=an_analysis(verdict)), "nothing proves it"
    )
    refused(
        a_step(progressing(step=3), Decision(Move.PROMOTE, "so"), AT_50, analysis=an_analysis(verdict)),
        "nothing proves it",
    )
    check(a_step(progressing(), Decision(Move.ADVANCE, "so", author="anna"), AT_10, analysis=an_analysis(verdict)))
    check(a_step(progressing(), Decision(Move.ADVANCE, "so"), AT_10, analysis=PROVED))


def test_an_approval_and_a_pause_wait_for_a_person_whatever_is_proved() -> None:
    waiting = progressing(step=2, policy=a_policy(steps=LISTS[1]))
    seen = Routing.of({"1": 95, "2": 5})
    refused(a_step(waiting, Decision(Move.ADVANCE, "so"), seen, analysis=PROVED), "nobody asked")
    check(a_step(waiting, Decision(Move.ADVANCE, "so", author="anna"), seen, analysis=PROVED))
    refused(
        a_step(replace(progressing(), phase=Phase.PAUSED), Decision(Move.ADVANCE, "so"), AT_10, analysis=PROVED),
        "nobody asked",
    )
    refused(
        a_step(replace(progressing(), phase=Phase.PAUSED), Decision(Move.RESUME, "so"), STABLE, analysis=PROVED),
        "nobody asked",
    )


def test_steps_are_taken_one_at_a_time_but_for_returns_and_automatic_ones() -> None:
    refused(a_step(progressing(), Decision(Move.ADVANCE, "so", step=3), AT_10, analysis=PROVED), "from step 1 to 3")
    refused(a_step(progressing(), Decision(Move.PROMOTE, "so", author="anna"), AT_10), "from step 1 to 1")
    refused(a_step(a_rollout(), Decision(Move.START, "so", step=2), STABLE), "from step 0 to 2")
    check(a_step(a_rollout(is_revert=True), Decision(Move.START, "so", step=3), STABLE))
    automatic = progressing(policy=a_policy(steps=Automatic().steps, automatic=Automatic()))
    seen = Routing.of({"1": 99, "2": 1})
    check(a_step(automatic, Decision(Move.ADVANCE, "so", step=4), seen, analysis=PROVED))
    refused(a_step(automatic, Decision(Move.ADVANCE, "so", step=7), seen, analysis=PROVED), "from step 1 to 7")


def test_only_the_weights_of_the_plan_are_sent() -> None:
    for target in (Routing.of({"1": 20, "2": 80}), Routing.of({"1": 50, "3": 50}), Routing.of({LATEST: 100}), AT_10):
        refused(a_step(progressing(), Decision(Move.ADVANCE, "so", author="anna"), AT_10, target), "the plan is")
    refused(a_step(progressing(), Decision(Move.RESTORE, "so"), STABLE, AT_50), "the plan is")
    check(a_step(progressing(), Decision(Move.RESTORE, "so"), STABLE))


def test_waits_and_answers_move_nothing() -> None:
    for wait in (
        Decision(Move.HOLD, "so"),
        Decision(Move.PAUSE, "so", author="anna"),
        Decision(Move.DECLINE, "so", author="anna"),
        Decision(Move.SUPERSEDE, "drift"),
    ):
        refused(a_step(progressing(), wait, STABLE, AT_10), "no move")
        check(a_step(progressing(), wait, AT_50))


def test_nobody_but_a_person_opens_an_endpoint() -> None:
    closed = replace(AT_10, is_open=False)
    refused(a_step(progressing(), Decision(Move.ADVANCE, "so", author="anna"), closed, AT_50), "only a person opens it")


def test_a_way_back_is_never_up() -> None:
    refused(a_step(progressing(), Decision(Move.ROLL_BACK, "so"), AT_10, AT_50), "the plan is")
    refused(
        a_step(progressing(stable=None), Decision(Move.ROLL_BACK, "so"), AT_10, Routing.of({"2": 100})),
        "would get more",
    )


def test_between_rollouts_only_the_stable_version_gets_more() -> None:
    check_pin(Routing.of({LATEST: 100}), STABLE, "1", "1")
    check_pin(Routing.of({LATEST: 20, "1": 80}), Routing.of({"1": 80, "2": 20}), None, "1")
    check_pin(Routing.of({"2": 70, "1": 30}), Routing.of({"2": 100}), "1", "2")
    check_pin(Routing.of({LATEST: 100}), Routing.of({"3": 100}), None, "3")
    check_pin(Routing.of({"2": 100}), STABLE, "1", "1")
    for seen, target, stable, becomes in (
        (STABLE, Routing.of({"2": 100}), "1", "2"),
        (STABLE, AT_50, "1", "1"),
        (Routing.of({"1": 80, "2": 20}), AT_50, None, "1"),
    ):
        with pytest.raises(BrokenLawError, match="between rollouts"):
            check_pin(seen, target, stable, becomes)
