"""Which calls are missing, and how much worse the canary may still be."""

import math
from dataclasses import replace

import pytest

from builders import a_policy
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import Hypotheses, calls_needed
from foundry_rollouts.core.judging.one_armed import CeilingProcess, Guard
from foundry_rollouts.core.judging.spread import Spread
from foundry_rollouts.core.judging.track import Track
from unit.core.judging.analysing import (
    ERRORS,
    LATENCY,
    LINES,
    PROVED,
    analysed,
    bounded,
    of_errors,
    of_lines,
    read,
    seen_by_two,
)
from unit.core.judging.made_evidence import capital_of, proving


@pytest.mark.parametrize(
    ("ladder", "harm", "at_most_worse", "is_not_gross"),
    [
        (bounded(2, 2), 0, 0.32, False),
        (bounded(2, 2, 2), 0, 0.16, True),
        (bounded(2, 2, 2), 0.01, 0.16, False),
        (bounded(2, 2, 2, 2), 0, 0.08, True),
        (bounded(), 0, None, False),
    ],
)
def test_less_than_sixteen_points_worse_is_not_gross_while_nothing_speaks_for_harm(
    ladder: tuple[float, ...], harm: float, at_most_worse: float | None, is_not_gross: bool
) -> None:
    analysis = analysed(a_policy(), of_errors(proving(harm, ladder=ladder)))
    assert (analysis.gates[0].at_most_worse, analysis.is_not_gross) == (at_most_worse, is_not_gross)


def test_the_smallest_margin_of_any_stratum_counts_at_its_share_of_the_allowed_error() -> None:
    policy = seen_by_two(ERRORS)
    one = of_errors(proving(ladder=bounded(1.4, 1.4)), share=0.5)
    other = of_errors(proving(ladder=bounded(1.4, 1.4, 1.7)), share=0.5, stratum="outcomes")
    assert read(policy, one, other).at_most_worse == 0.16
    assert read(policy, replace(one, processes=(proving(ladder=bounded(1.7)),)), other).at_most_worse == 0.16
    assert read(policy, one).at_most_worse is None


def test_every_gate_has_to_be_not_gross() -> None:
    policy, well = a_policy(gates=(ERRORS, LINES)), proving(ladder=bounded(2, 2, 2))
    assert analysed(policy, of_errors(well), of_lines(well)).is_not_gross
    assert not analysed(policy, of_errors(well), of_lines()).is_not_gross


def needed(track: Track, share: float, cluster: float = 1.0) -> int:
    judging = a_policy().judge
    bets = Hypotheses(judging.tolerate, judging.bad, cluster)
    return calls_needed(track.processes[0], bets, -math.log(judging.missed_bad), share)


def test_the_calls_that_are_missing_go_by_the_share_that_the_canary_really_has() -> None:
    seen = of_errors(at_step=Tally(30, 0, 90, 0))
    assert read(a_policy(), seen).missing_calls == needed(seen, 0.25)
    unseen = of_errors(at_step=Tally())
    assert read(a_policy(), unseen, step=2).missing_calls == needed(unseen, 0.5)
    half = of_errors(proving(safe=0.65), stratum="outcomes", share=0.5)
    helped = read(seen_by_two(ERRORS), replace(seen, share=0.5), half).missing_calls
    assert helped is not None
    assert helped < needed(seen, 0.25)
    assert read(a_policy(), of_errors(PROVED)).missing_calls is None


def test_the_calls_that_are_missing_go_by_what_is_proved_already_and_by_the_cluster() -> None:
    alone = of_errors(at_step=Tally(30, 0, 0, 0))
    assert read(a_policy(), alone).missing_calls is None  # However many there were, they would prove nothing.
    begun = of_errors(proving(safe=0.65), at_step=Tally(30, 0, 90, 0))
    assert read(a_policy(), begun).missing_calls == needed(begun, 0.25)
    clustered = of_errors(at_step=Tally(30, 0, 90, 0), spread=Spread(squares=12.0, expected=9.0))
    assert read(a_policy(), clustered).missing_calls == needed(clustered, 0.25, cluster=3.0)


def test_at_100_no_calls_are_missing_for_it_is_a_bake() -> None:
    alone = of_errors(proving(), guard=Guard(0.01), at_step=Tally(100, 0), stratum="logs")
    said = read(a_policy(), alone, step=3)
    assert (said.verdict, said.missing_calls) == (Verdict.PASS, None)
    assert "(stable failed about 1% before)" in said.because
    warned = replace(alone, guard=Guard(0.01, CeilingProcess(capital_of(0.5))))
    assert read(a_policy(), warned, step=3).verdict is Verdict.INSUFFICIENT
    said = read(a_policy(), of_errors(proving(0.5), at_step=Tally(100, 0, 100, 0)), step=3)
    assert (said.verdict, said.missing_calls) == (Verdict.INSUFFICIENT, None)


def test_what_is_slow_has_to_be_learnt_before_calls_can_be_missing() -> None:
    learning = of_errors(proving(), proving(), proving(), gate="latency")
    policy = a_policy(gates=(LATENCY,))
    assert read(policy, learning).missing_calls is None
    assert read(policy, replace(learning, edges=(1, 2, 3))).missing_calls is not None
