"""What each request of a person does to a rollout as it stands, and which requests one answer settles."""

from dataclasses import replace
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.obey import (
    advance_or_promote,
    answered,
    apply_command,
    retreat,
    saying_whom,
    step_back,
)
from foundry_rollouts.core.judging.constants import STEP_BACKS
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout

WHY = "ann asked to {}: an incident"


def asked(verb: Verb, generation: int = 1, author: str = "ann") -> Command:
    return Command(f"c-{generation}", "r-1", verb, generation, NOON, author, "an incident")


def under_way(step: int = 1, **but: Any) -> Rollout:
    return a_rollout(**({"phase": Phase.PROGRESSING, "step": step, "started_at": NOON, "step_started_at": NOON} | but))


APPROVING = a_policy(steps=(WeightStep(10), ApprovalStep(), WeightStep(100)))


@pytest.mark.parametrize(
    ("verb", "rollout", "move"),
    [
        (Verb.ABORT, under_way(), Move.ROLL_BACK),
        (Verb.ABORT, under_way(phase=Phase.PAUSED), Move.ROLL_BACK),
        (Verb.ABORT, under_way(is_stable_gone=True), Move.DISABLE),
        (Verb.ABORT, under_way(stable=None), Move.DISABLE),
        (Verb.PAUSE, under_way(), Move.PAUSE),
        (Verb.PAUSE, a_rollout(), Move.PAUSE),
        (Verb.PROMOTE, under_way(), Move.ADVANCE),
        (Verb.PROMOTE, under_way(3), Move.PROMOTE),
        (Verb.PROMOTE, under_way(is_stable_gone=True), Move.PROMOTE),
        (Verb.APPROVE, under_way(2, policy=APPROVING), Move.ADVANCE),
        (Verb.RESUME, under_way(phase=Phase.PAUSED), Move.RESUME),
        (Verb.RESUME, a_rollout(phase=Phase.PAUSED), Move.RESUME),
        (Verb.PROMOTE, a_rollout(phase=Phase.PAUSED), Move.RESUME),
    ],
)
def test_each_request_makes_its_move_in_the_name_of_its_author(verb: Verb, rollout: Rollout, move: Move) -> None:
    assert apply_command(rollout, asked(verb)) == Decision(move, WHY.format(verb), author="ann")


def test_an_abort_of_what_has_not_begun_moves_nothing_and_says_so() -> None:
    said = f"{WHY.format('abort')}; aborted before it began, nothing was moved"
    assert apply_command(a_rollout(), asked(Verb.ABORT)) == Decision(Move.ABORT, said, author="ann")


@pytest.mark.parametrize(
    ("verb", "rollout", "objection"),
    [
        (Verb.PAUSE, under_way(phase=Phase.PAUSED), "it is paused already"),
        (Verb.RESUME, under_way(), "it is not paused"),
        (Verb.APPROVE, under_way(), "it waits for no approval"),
        (Verb.PROMOTE, a_rollout(), "it has not begun, and begins by itself"),
    ],
)
def test_what_cannot_be_done_is_declined_with_its_reason(verb: Verb, rollout: Rollout, objection: str) -> None:
    said = f"{WHY.format(verb)}. Nothing was done: {objection}"
    assert apply_command(rollout, asked(verb)) == Decision(Move.DECLINE, said, author="ann")


def test_what_nobody_asked_for_has_no_author() -> None:
    assert retreat(under_way(), "harm") == Decision(Move.ROLL_BACK, "harm")
    assert retreat(under_way(stable=None), "harm") == Decision(Move.DISABLE, "harm")
    assert retreat(under_way(stable=None), "no", "ann") == Decision(Move.DISABLE, "no", author="ann")
    assert advance_or_promote(under_way(), "proved") == Decision(Move.ADVANCE, "proved")
    assert advance_or_promote(under_way(3), "proved") == Decision(Move.PROMOTE, "proved")
    assert advance_or_promote(under_way(3), "so", "ann") == Decision(Move.PROMOTE, "so", author="ann")


def test_a_canary_steps_back_to_the_last_weight_that_compares() -> None:
    assert step_back(under_way(3), "it fails") == Decision(
        Move.STEP_BACK, "stepped back to 50% because it fails", step=2
    )
    assert step_back(under_way(3, is_stable_gone=True), "it fails") is None
    assert step_back(under_way(3, stable=None), "it fails") is None
    alone = a_policy(steps=(WeightStep(100),))
    assert step_back(under_way(policy=alone), "it fails") is None


@pytest.mark.parametrize("backs", range(STEP_BACKS + 1))
def test_the_third_time_is_for_a_person(backs: int) -> None:
    decision = step_back(under_way(3, step_backs=backs), "it fails")
    assert decision is not None
    plain = "stepped back to 50% because it fails"
    person = f"{plain}; that makes {backs + 1} times, so a person decides"
    assert decision == Decision(Move.STEP_BACK, person if backs >= 2 else plain, step=2)


ADVANCED = Decision(Move.ADVANCE, "so", author="ann")
ABORTED = Decision(Move.ROLL_BACK, "so", author="ann")


def numbers(decision: Decision, then: Rollout, *commands: Command) -> list[int]:
    return [each.generation for each in answered(decision, then, commands)]


def test_the_end_answers_all_whoever_brought_it() -> None:
    three = [asked(verb, number) for number, verb in enumerate((Verb.PAUSE, Verb.PROMOTE, Verb.APPROVE))]
    ended = under_way(phase=Phase.ROLLED_BACK)
    assert numbers(ABORTED, ended, *three) == [0, 1, 2]
    assert numbers(Decision(Move.ROLL_BACK, "harm"), ended, *three) == [0, 1, 2]
    assert answered(ABORTED, ended, [*three]) == tuple(three)
    assert numbers(ABORTED, ended) == []


def test_what_nobody_asked_for_answers_nobody_while_the_rollout_goes_on() -> None:
    assert numbers(replace(ADVANCED, author=None), under_way(), asked(Verb.PROMOTE)) == []
    assert numbers(ADVANCED, under_way()) == []


def test_a_step_forward_answers_every_other_wish_for_it() -> None:
    three = asked(Verb.PROMOTE, 1), asked(Verb.APPROVE, 2), asked(Verb.PROMOTE, 3)
    assert numbers(ADVANCED, under_way(), *three) == [1, 2, 3]
    assert numbers(ADVANCED, under_way(), asked(Verb.PROMOTE, 1), asked(Verb.RESUME, 2)) == [1]
    assert numbers(Decision(Move.RESUME, "so", author="ann"), under_way(), *three) == [1]


def test_a_pause_answers_what_was_asked_before_it() -> None:
    paused = Decision(Move.PAUSE, "so", author="ann")
    then = under_way(phase=Phase.PAUSED)
    before, same, after = asked(Verb.PROMOTE, 1), asked(Verb.APPROVE, 2), asked(Verb.PROMOTE, 3)
    assert numbers(paused, then, asked(Verb.PAUSE, 2), before, same, after) == [2, 1]
    declined = Decision(Move.ADVANCE, "so", author="ann")
    assert numbers(declined, then, asked(Verb.PAUSE, 2), after) == [2]


def test_a_sentence_names_every_request_that_it_answers() -> None:
    own = replace(ADVANCED, because=asked(Verb.PROMOTE).because)
    assert saying_whom(own, [asked(Verb.PROMOTE)]) == own
    assert saying_whom(own, []) == own
    others = [asked(Verb.PROMOTE), asked(Verb.APPROVE, author="bob"), asked(Verb.PAUSE, author="cas")]
    assert saying_whom(own, others) == replace(
        own,
        because="ann asked to promote: an incident. This answers, too: "
        "bob asked to approve: an incident; cas asked to pause: an incident",
    )
