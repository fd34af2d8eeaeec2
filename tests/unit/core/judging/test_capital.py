"""The evidence of one stratum, interval by interval."""

import math
import random
from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import (
    NEVER,
    EProcess,
    Hypotheses,
    Use,
    begin,
    calls_needed,
    observed,
    reweighted,
    samples_to_prove,
)
from foundry_rollouts.core.judging.estimate import StableEstimate
from foundry_rollouts.core.judging.logarithms import as_log10
from foundry_rollouts.core.judging.one_armed import CeilingProcess, begin_floor, observed_floor
from foundry_rollouts.core.model.policy import Margin
from foundry_rollouts.errors import UsageError
from unit.core.judging.reference_evidence import ReferenceEvidence

DEFAULT = Hypotheses(tolerate=Margin(1.2), bad=Margin(1.5, 0.005))
GOAL = -math.log(0.05)
COARSE = Hypotheses(tolerate=Margin(1.2), bad=Margin(3.0, 0.2))

LINES = [
    ((1.0, 0.0), (1.5, 0.005)),
    ((1.2, 0.0), (1.5, 0.005)),
    ((1.2, 0.0), (3.0, 0.20)),
    ((1.0, 0.01), (1.0, 0.05)),
    ((2.0, 0.05), (20.0, 0.5)),
]
SCALES = {"a trickle": 2, "some": 30, "a lot": 4000}


def a_stream(dice: random.Random, scale: int) -> list[Tally | None]:
    """Return intervals of moving rates, at times all or none failing, or empty; None changes the weight."""
    stream: list[Tally | None] = []
    share, stable = 0.1, 0.01
    for _ in range(40):
        if dice.random() < 0.08:
            share = dice.choice([0.01, 0.1, 0.5, 0.9])
            stream.append(None)
        if dice.random() < 0.15:
            stable = dice.choice([0.0, 0.001, 0.01, 0.3, 0.85, 1.0])
        canary = min(1.0, stable * dice.choice([0.0, 1.0, 1.0, 3.0]))
        n_c, n_b = dice.randint(0, 1 + int(scale * share)), dice.randint(0, 1 + int(scale * (1 - share)))
        x_c = sum(dice.random() < canary for _ in range(n_c))
        x_b = sum(dice.random() < stable for _ in range(n_b))
        stream.append(Tally(n_c, x_c, n_b, x_b))
    return stream


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES.keys())
@pytest.mark.parametrize(("tolerate", "bad"), LINES)
def test_it_agrees_with_the_formulas_written_out(
    scale: int, tolerate: tuple[float, float], bad: tuple[float, float]
) -> None:
    dice = random.Random(f"{scale} {tolerate} {bad}")
    bets = Hypotheses(Margin(*tolerate), Margin(*bad))
    process, reference = begin(), ReferenceEvidence(tolerate, bad)
    for tally in a_stream(dice, scale):
        if tally is None:
            process = reweighted(process)
            reference.weight_change()
        else:
            seconds = dice.choice([5, 10, 45, 130])
            process = observed(process, bets, tally, seconds)
            counts = (tally.canary_calls, tally.canary_failures, tally.stable_calls, tally.stable_failures)
            reference.interval(counts, seconds)
        assert as_log10(process.harm_log) == pytest.approx(reference.harm_log10, abs=1e-6)
        assert as_log10(process.safe_log) == pytest.approx(reference.safe_log10, abs=1e-6)
        assert process.at_most_worse(0.05) == reference.at_most_worse(0.05)


def test_there_is_no_evidence_at_the_beginning() -> None:
    assert as_log10(begin().harm_log) == pytest.approx(0, abs=1e-12)
    assert as_log10(begin().safe_log) == pytest.approx(0, abs=1e-12)
    assert begin().at_most_worse(0.05) is None


@pytest.mark.parametrize("tally", [Tally(), Tally(canary_calls=5000, canary_failures=5000), Tally(stable_calls=5000)])
def test_one_version_alone_proves_nothing(tally: Tally) -> None:
    process = observed(begin(), DEFAULT, tally, 10)
    assert process == replace(begin(), harm=process.harm)
    assert process.harm.staked == begin().harm.staked


def test_what_is_known_from_before_weighs_as_500_calls_at_most_and_never_fades() -> None:
    few, many = (begin(Tally(stable_calls=calls, stable_failures=calls // 10)).guess for calls in (100, 100_000))
    assert few.rate == pytest.approx(10.5 / 150)
    assert many.rate == pytest.approx(50.5 / 550)
    later = observed(begin(Tally(stable_calls=500, stable_failures=50)), DEFAULT, Tally(4, 0, 4, 4), 3000).guess
    assert later.rate == pytest.approx((50 + 4 + 0.5) / (500 + 4 + 50))
    assert later.after(Tally(4, 0, 4, 0), 300).rate == pytest.approx((50 + 2 + 0.5) / (500 + 6 + 50))
    assert begin(Tally(canary_calls=9)) == begin()


def test_calls_wait_until_they_make_a_batch() -> None:
    open_batch = observed(begin(), DEFAULT, Tally(3, 3, 4, 0), 10)
    assert open_batch.waiting == (Tally(3, 3, 4, 0),)
    assert as_log10(open_batch.harm_log) == pytest.approx(0, abs=1e-12)

    closed = observed(open_batch, DEFAULT, Tally(1, 1, 0, 0), 10)
    at_once = observed(begin(), DEFAULT, Tally(4, 4, 4, 0), 10)
    assert closed.waiting == ()
    assert as_log10(closed.harm_log) == as_log10(at_once.harm_log) > 1


def test_a_change_of_weight_drops_the_open_batch() -> None:
    process = observed(begin(), DEFAULT, Tally(7, 7, 0, 0), 10)
    process = observed(reweighted(process), DEFAULT, Tally(0, 0, 7, 0), 10)
    assert process.waiting == (Tally(0, 0, 7, 0),)
    assert as_log10(process.harm_log) == pytest.approx(0, abs=1e-12)
    assert process.guess == StableEstimate()


def test_a_change_of_weight_asks_for_proof_of_safety_again_and_keeps_what_is_known_of_harm() -> None:
    process = observed(begin(), COARSE, Tally(200, 2, 200, 2), 10)
    after = reweighted(process)
    assert as_log10(process.safe_log) > 1.3
    assert as_log10(after.safe_log) == pytest.approx(0, abs=1e-12)
    assert as_log10(after.harm_log) == pytest.approx(as_log10(process.harm_log))
    assert after.harm.cash == pytest.approx(process.harm.cash + math.log(0.8))
    assert after.ladder == process.ladder
    assert after.guess == process.guess


def test_an_outage_that_both_versions_share_is_not_held_against_the_canary() -> None:
    """Pooled over both weights the canary looks far worse: it got more of the traffic in the outage."""
    calm, outage = Tally(100, 1, 900, 9), Tally(500, 100, 500, 100)
    bets = Hypotheses(Margin(1.0), Margin(1.5, 0.005))
    process, pooled = begin(), Tally()
    for tally in [calm] * 20:
        process, pooled = observed(process, bets, tally, 10), pooled + tally
    process = reweighted(process)
    for tally in [outage] * 20:
        process, pooled = observed(process, bets, tally, 10), pooled + tally

    assert pooled.canary_failures / pooled.canary_calls > 2 * pooled.stable_failures / pooled.stable_calls
    assert as_log10(process.harm_log) < 0


@pytest.mark.parametrize("tolerate", [Margin(1.0), Margin(1.2), Margin(1.5, 0.3), Margin(1000.0)])
def test_a_total_outage_of_both_versions_is_never_the_canarys_fault(tolerate: Margin) -> None:
    process, bets = begin(), Hypotheses(tolerate, Margin(1000.0, 0.9))
    for _ in range(200):
        process = observed(process, bets, Tally(20, 20, 180, 180), 10)
        assert as_log10(process.harm_log) < 0.5


@pytest.mark.parametrize("bad", [Margin(1.5, 0.005), Margin(3.0, 0.2), Margin(1000.0, 0.99)])
@pytest.mark.parametrize(
    "tally",
    [
        Tally(1, 1, 7, 0),
        Tally(10**6, 10**6, 10**6, 0),
        Tally(10**6, 0, 10**6, 10**6),
        Tally(10**6, 0, 10**6, 0),
        Tally(10**6, 10**6, 1, 1),
        Tally(1, 0, 10**6, 10**6),
    ],
)
def test_all_failing_none_failing_and_huge_counts_stay_finite(tally: Tally, bad: Margin) -> None:
    process = begin()
    for _ in range(20):
        process = observed(reweighted(process), Hypotheses(Margin(1.2), bad), tally, 86_400)
        numbers = (
            *process.harm.staked,
            process.harm.cash,
            *process.safe,
            *process.ladder,
            process.guess.rate,
        )
        assert all(math.isfinite(number) for number in numbers)
        assert 0 <= calls_needed(process, Hypotheses(Margin(1.2), bad), GOAL, 0.1) <= NEVER


def intervals_until_harm(process: EProcess, tally: Tally) -> int:
    """Return how many intervals of ``tally`` make the evidence 100 to 1."""
    intervals = 0
    while as_log10(process.harm_log) < 2:
        process, intervals = observed(process, DEFAULT, tally, 10), intervals + 1
    return intervals


def test_a_dead_canary_is_caught_by_a_handful_of_calls() -> None:
    assert intervals_until_harm(begin(), Tally(1, 1, 9, 0)) <= 4


def test_a_failure_after_a_long_quiet_time_has_only_the_last_stake_to_make_up_for() -> None:
    quiet = begin()
    for _ in range(180):
        quiet = observed(quiet, DEFAULT, Tally(100, 1, 100, 1), 10)
    broken = Tally(100, 5, 100, 1)
    assert as_log10(quiet.harm_log) < -0.5
    assert intervals_until_harm(quiet, broken) <= 2 * intervals_until_harm(begin(), broken)


@pytest.mark.parametrize(("intervals", "seconds"), [(1, 60), (600, 0.1), (200, 0.3), (1000, 0.06), (50, 1.2)])
def test_a_minute_is_full_however_it_is_cut_up(intervals: int, seconds: float) -> None:
    process = begin()
    for _ in range(intervals - 1):
        process = observed(process, DEFAULT, Tally(), seconds)
    assert process.harm.cash == begin().harm.cash
    process = observed(process, DEFAULT, Tally(), seconds)
    assert process.harm.cash == pytest.approx(math.log(0.5 * 0.95))


def test_staking_neither_makes_nor_loses_capital() -> None:
    process = begin()
    for seconds in (60, 600, 1e6, 1e9):
        process = reweighted(observed(process, DEFAULT, Tally(), seconds))
        assert as_log10(process.harm_log) == pytest.approx(0, abs=1e-9)


def test_the_ladder_tells_how_much_worse_the_canary_is_at_most() -> None:
    process, told = begin(), []
    for _ in range(60):
        process = observed(process, DEFAULT, Tally(50, 0, 50, 0), 10)
        told.append(process.at_most_worse(0.05))
    known = [margin for margin in told if margin is not None]
    assert known[0] == 0.08
    assert known == sorted(known, reverse=True)
    assert known[-1] == 0.005
    assert process.at_most_worse(1e-12) == 0.01  # the surer, the less is proved


def test_the_state_survives_a_restart_bit_for_bit() -> None:
    adapter, dice = TypeAdapter(EProcess), random.Random(8)
    process = kept = begin()
    for tally in a_stream(dice, 30):
        if tally is None:
            process, kept = reweighted(process), reweighted(kept)
        else:
            process = observed(process, DEFAULT, tally, 7.3)
            kept = observed(kept, DEFAULT, tally, 7.3)
        kept = adapter.validate_json(adapter.dump_json(kept))
        assert repr(kept) == repr(process)
    floor = observed_floor(begin_floor(), 0.2, Tally(30, 11), 7.3)
    floors = TypeAdapter(CeilingProcess)
    assert repr(floors.validate_json(floors.dump_json(floor))) == repr(floor)


@pytest.mark.parametrize("counts", [(1, 2, 0, 0), (0, 0, 1, 2), (-1, 0, 0, 0), (0, 0, 3, -1)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError):
        Tally(*counts)


def test_the_floor_is_broken_by_a_canary_above_it_and_by_nothing_else() -> None:
    above, at, empty = begin_floor(), begin_floor(), begin_floor()
    for _ in range(30):
        above = observed_floor(above, 0.2, Tally(20, 8), 10)
        at = observed_floor(at, 0.2, Tally(20, 4), 10)
        empty = observed_floor(empty, 0.2, Tally(0, 0), 10)
    assert as_log10(above.log) >= 2
    assert as_log10(at.log) < 0
    assert as_log10(empty.log) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("limit", "failures"), [(0.98, 100), (1.0, 100), (0.0, 0)])
def test_a_floor_that_is_kept_or_cannot_be_broken_proves_nothing(limit: float, failures: int) -> None:
    process = observed_floor(begin_floor(), limit, Tally(100, failures), 10)
    assert as_log10(process.log) <= 1e-12


def test_a_floor_of_zero_is_broken_by_one_failure() -> None:
    assert as_log10(observed_floor(begin_floor(), 0.0, Tally(100, 1), 10).log) > 2


def test_the_floor_agrees_with_its_formula() -> None:
    logit = math.log(0.2 / 0.8)
    ends = math.log(0.98 / 0.02)
    thetas = [1 / (1 + math.exp(-(logit + u * (ends - logit)))) for u in (0.012, 0.035, 0.08, 0.17, 0.34, 0.60, 1.0)]
    capital = 0.5 + sum(0.5 / 7 * (t / 0.2) ** 3 * ((1 - t) / 0.8) ** 5 for t in thetas)
    log = observed_floor(begin_floor(), 0.2, Tally(8, 3), 10).log
    assert as_log10(log) == pytest.approx(math.log10(capital), abs=1e-9)


def test_the_calls_still_needed_shrink_to_none_as_proof_builds_up() -> None:
    process, needed = begin(), []
    for _ in range(40):
        needed.append(calls_needed(process, COARSE, GOAL, 0.5))
        process = observed(process, COARSE, Tally(2, 0, 7, 0), 10)
    assert needed[0] == 19
    assert needed == sorted(needed, reverse=True)
    assert needed[-1] == 0


def test_the_calls_needed_at_the_start_are_what_the_plan_says() -> None:
    plan = samples_to_prove(0.01, 10, DEFAULT, 0.05)
    assert calls_needed(begin(), DEFAULT, GOAL, canary_share=0.1) == math.ceil(plan / 10)


def test_what_cannot_be_proved_is_never_done() -> None:
    as_good = Hypotheses(Margin(1.0), Margin(1.0))
    assert calls_needed(begin(), as_good, GOAL, 0.5) == NEVER
    assert samples_to_prove(0.01, 50, as_good, 0.05) == math.inf
    for share in (0.0, 1.0):
        assert calls_needed(begin(), DEFAULT, GOAL, share) == NEVER
    assert samples_to_prove(0.01, 0, DEFAULT, 0.05) == math.inf


def test_what_was_won_in_trouble_is_no_proof_and_each_weight_begins_without_any() -> None:
    process = EProcess(safe=(1.0, 2.0), in_trouble=(0.5, -0.25))
    assert process.proof == (0.5, 2.25)
    anew = reweighted(process)
    assert (anew.safe, anew.in_trouble, anew.proof) == (begin().safe, (0.0, 0.0), begin().safe)


def test_safety_that_is_won_in_trouble_is_kept_apart_and_clusters_count_for_less() -> None:
    bets, tally = Hypotheses(Margin(1.2), Margin(2.0, 0.02)), Tally(10, 2, 90, 1)
    calm = observed(begin(), bets, tally, 10.0)
    troubled = observed(begin(), bets, tally, 10.0, Use.TROUBLED)
    none = observed(begin(), bets, tally, 10.0, Use.NONE)
    assert (calm.safe, calm.harm, calm.ladder) == (troubled.safe, troubled.harm, troubled.ladder)
    assert calm.in_trouble == (0.0, 0.0)
    assert troubled.proof == pytest.approx(begin().safe)
    assert (none.safe, none.in_trouble, none.ladder) == (begin().safe, (0.0, 0.0), begin().ladder)
    assert none.guess == calm.guess == troubled.guess
    clustered = observed(begin(), Hypotheses(Margin(1.2), Margin(2.0, 0.02), 4.0), tally, 10.0, Use.TROUBLED)

    def won(of: EProcess, part: str) -> list[float]:
        return [now - then for now, then in zip(getattr(of, part), getattr(begin(), part), strict=True)]

    for part in ("safe", "in_trouble", "ladder"):
        assert won(clustered, part) == pytest.approx([each / 4 for each in won(troubled, part)])
    staked = [now - then for now, then in zip(clustered.harm.staked, begin().harm.later(10.0).staked, strict=True)]
    whole = [now - then for now, then in zip(troubled.harm.staked, begin().harm.later(10.0).staked, strict=True)]
    assert staked == pytest.approx([each / 4 for each in whole])


def test_calls_in_clusters_of_four_prove_safety_after_four_times_as_many() -> None:
    def needed(cluster: float) -> int:
        return calls_needed(begin(), Hypotheses(Margin(1.2), Margin(2.0, 0.02), cluster), math.log(20), 0.1)

    assert needed(4.0) == pytest.approx(4 * needed(1.0), abs=4)
