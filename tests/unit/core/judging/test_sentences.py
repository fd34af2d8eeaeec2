"""The sentences that people read, word for word."""

import math
from dataclasses import replace

import pytest

from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.logarithms import TEN
from foundry_rollouts.core.judging.one_armed import CeilingProcess, Guard
from foundry_rollouts.core.judging.sentences import (
    because_baking,
    because_guarded,
    because_harm,
    because_proved,
    because_unproved,
    because_unseen,
    count,
    odds,
)
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging
from unit.core.judging.made_evidence import TALLY, a_track, capital_of, proving

ERRORS = Gate(GateKind.ERROR_RATE, ("probe",))
CEILING = replace(ERRORS, max=0.2)
JUDGING = Judging()


def test_harm_is_told_with_its_causes_the_most_frequent_first_and_two_at_most() -> None:
    causes = (("HTTP 404", 1), ("HTTP 500", 9), ("timeout", 4))
    assert because_harm(ERRORS, JUDGING, a_track(proving(harm=3), causes=causes)) == (
        "canary 14 of 1 200 failed (HTTP 500, timeout) against 3 of 10 800 on stable, seen by probe: "
        "worse than 1.2x stable, evidence 1 000 : 1"
    )


def test_the_whole_trial_tells_of_harm_and_the_step_of_proof() -> None:
    track = a_track(proving(harm=3, safe=2), at_step=Tally(8, 1, 9, 2))
    assert because_harm(ERRORS, JUDGING, track).startswith("canary 14 of 1 200 failed against 3 of 10 800 on stable")
    assert because_proved(ERRORS, JUDGING, track, math.log(100)) == (
        "canary 1 of 8 failed against 2 of 9 on stable at this step, seen by probe: "
        "better than 2x + 2pp stable, evidence 100 : 1"
    )


def test_slowness_has_no_causes_and_the_question_with_most_evidence_speaks() -> None:
    slow = Gate(GateKind.LATENCY, ("probe",))
    track = a_track(proving(0, 1), proving(2, 3), proving(1, 2), causes=(("HTTP 500", 9),), edges=(1, 2, 3))
    assert because_harm(slow, JUDGING, track) == (
        "canary 14 of 1 200 were slower than stable's median against 3 of 10 800 on stable, seen by probe: "
        "worse than 1.2x stable, evidence 100 : 1"
    )
    assert because_proved(slow, JUDGING, track, math.log(1000)).endswith("evidence 1 000 : 1")


@pytest.mark.parametrize(
    ("harm", "gate", "stable_calls", "crossed"),
    [
        (2.0, CEILING, 10, "worse than 1.2x stable, evidence 100 : 1"),
        (1.9, CEILING, 10, "above the ceiling of 20% and worse than stable, evidence 1 000 : 1"),
        (1.9, CEILING, 0, "above the ceiling of 20%, evidence 100 000 : 1"),
        (1.9, ERRORS, 10, "worse than 1.2x stable, evidence 79 : 1"),
    ],
)
def test_the_line_that_was_crossed_is_named(harm: float, gate: Gate, stable_calls: int, crossed: str) -> None:
    track = a_track(
        proving(harm),
        strict=proving(harm=3),
        ceiling=CeilingProcess(capital_of(5)),
        at_step=Tally(10, 9, stable_calls, 0),
    )
    assert because_harm(gate, JUDGING, track).endswith(f", seen by probe: {crossed}")


def test_without_evidence_about_the_ceiling_it_is_not_blamed() -> None:
    for but in ({"strict": proving(3)}, {"ceiling": CeilingProcess(capital_of(5))}):
        told = because_harm(CEILING, JUDGING, a_track(proving(1), **but))
        assert told.endswith("worse than 1.2x stable, evidence 10 : 1")


def test_what_is_missing_is_told_in_calls_where_that_is_known() -> None:
    begin = "canary 14 of 1 200 failed against 3 of 10 800 on stable so far: needs"
    end = "more canary calls to be proved better than 2x + 2pp stable"
    assert because_unproved(ERRORS, JUDGING, a_track(), 1500) == f"{begin} about 1 500 {end}"
    assert because_unproved(ERRORS, JUDGING, a_track(), None) == f"{begin} {end}"


def test_a_canary_alone_is_told_beside_what_stable_did_before() -> None:
    at_100 = a_track(at_step=Tally(1200, 14), guard=Guard(0.01), stratum="logs")
    seen = "canary 14 of 1 200 failed (stable failed about 1% before)"
    assert because_baking(ERRORS, at_100) == f"{seen} at this step, seen by logs"
    assert because_guarded(ERRORS, at_100, math.log(240)) == f"{seen}, seen by logs: evidence 240 : 1"
    assert because_baking(ERRORS, replace(at_100, at_step=TALLY)).startswith("canary 14 of 1 200 failed against 3 of")
    for rate, past in (
        (0.95, "failed about 95% before"),
        (0.0001, "failed about 0.01% before"),
        (0.00009, "hardly ever failed before"),
    ):
        assert f"(stable {past})" in because_baking(ERRORS, replace(at_100, guard=Guard(rate)))


def test_speed_is_learnt_before_it_is_judged() -> None:
    slow = Gate(GateKind.LATENCY, ("probe",))
    assert because_unproved(slow, JUDGING, a_track(), 5) == "latency: still learning from probe how fast stable is"
    assert because_unproved(slow, JUDGING, a_track(edges=(3,)), 5).startswith("canary 14 of 1 200 were slower than")


def test_each_silence_is_told_apart() -> None:
    tracks = (a_track(), replace(a_track(), stratum="logs", trouble="HTTP 401"))
    assert because_unseen(Verdict.NO_DATA, ERRORS, tracks) == (
        "error-rate: no canary calls seen at this step yet (probe, logs)"
    )
    assert because_unseen(Verdict.STALE, ERRORS, tracks) == (
        "error-rate: no canary calls for a while (probe, logs); what was seen is too old to decide on"
    )
    assert because_unseen(Verdict.SOURCE_ERROR, ERRORS, tracks) == "error-rate: logs cannot be read: HTTP 401"


@pytest.mark.parametrize(
    ("log10", "words"),
    [
        (0, "1 : 1"),
        (2, "100 : 1"),
        (2.38, "239 : 1"),
        (5.99, "977 237 : 1"),
        (6, "more than 1 000 000 : 1"),
        (400, "more than 1 000 000 : 1"),
    ],
)
def test_evidence_is_told_as_odds(log10: float, words: str) -> None:
    assert odds(log10 * TEN) == words


def test_numbers_are_told_in_groups_of_three() -> None:
    assert [count(number) for number in (0, 999, 1080, 1_234_567)] == ["0", "999", "1 080", "1 234 567"]
