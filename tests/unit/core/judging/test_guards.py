"""What has no comparison: the guard at 100, trouble that both versions share, the split, calls that fail together."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import CLUSTER_AT_MOST, GUARD_ODDS, SPLIT_ODDS, TROUBLE_ODDS
from foundry_rollouts.core.judging.one_armed import CeilingProcess, Guard
from foundry_rollouts.core.judging.shared import SharedTrouble, begin_trouble
from foundry_rollouts.core.judging.split import Split
from foundry_rollouts.core.judging.spread import Spread

RATES = st.floats(0.0, 1.0)


def guarded(past: float, *tallies: Tally, is_warm: bool = False, cluster: float = 1.0) -> Guard:
    guard = Guard(past)
    for tally in tallies:
        guard = guard.after(tally, 10.0, is_warm=is_warm, cluster=cluster)
    return guard


def test_a_dead_canary_at_100_is_known_after_a_few_calls() -> None:
    assert guarded(0.01, Tally(4, 4)).log > math.log(GUARD_ODDS)
    assert guarded(0.01, Tally(200, 14)).log < math.log(GUARD_ODDS)


def test_a_canary_that_warms_up_or_fails_in_clusters_is_given_more() -> None:
    bad = Tally(100, 22)
    assert guarded(0.01, bad).log > math.log(GUARD_ODDS)
    assert guarded(0.01, bad, is_warm=True).log < 0
    assert guarded(0.01, bad, cluster=5.0).log < math.log(GUARD_ODDS)


def test_the_stake_of_a_minute_flows_evenly() -> None:
    quiet = guarded(0.01, *[Tally()] * 70).process.harm
    assert quiet.cash == pytest.approx(math.log(0.5) + 70 / 6 * math.log(0.95))
    assert quiet.log == pytest.approx(0)


@given(st.integers(0, 9), st.floats(0.001, 0.2))
@settings(max_examples=30)
def test_no_bet_of_the_guard_is_better_than_fair_at_its_line(calls: int, past: float) -> None:
    """Enumerated: the expectation over all outcomes of calls that fail exactly as often as it allows is 1 at most."""
    line = 2 * past + 0.05
    expected = sum(
        math.comb(calls, failed) * line**failed * (1 - line) ** (calls - failed)
        * math.exp(guarded(past, Tally(calls, failed)).log)
        for failed in range(calls + 1)
    )  # fmt: skip
    assert expected <= 1 + 1e-9


def troubled(trouble: SharedTrouble, *rates: float, calls: int = 200) -> SharedTrouble:
    for rate in rates:
        tally = Tally(stable_calls=calls, stable_failures=round(rate * calls))
        trouble = trouble.after(tally, 10.0, is_on=False, cluster=1.0)
    return trouble


def test_stable_that_fails_much_more_than_before_is_in_trouble_and_a_little_more_is_none() -> None:
    calm = troubled(SharedTrouble(), *[0.01] * 6)
    assert calm.before == pytest.approx((2 + 2) / (200 + 2))
    assert troubled(calm, 0.3).log > math.log(TROUBLE_ODDS)
    assert troubled(calm, *[0.02] * 60).log < 0


def test_failures_in_clusters_are_trouble_later() -> None:
    calm, few = begin_trouble(Tally(stable_calls=400, stable_failures=4)), Tally(stable_calls=20, stable_failures=6)
    logs = [calm.after(few, 10.0, is_on=False, cluster=cluster).log for cluster in (1.0, 5.0)]
    assert logs[0] > math.log(TROUBLE_ODDS) > logs[1] > 0


def test_what_stable_fails_at_now_is_that_of_the_last_five_minutes() -> None:
    ill = troubled(begin_trouble(None), *[0.5] * 6, *[0.3] * 24, 0.2, calls=100)
    assert ill.recent == pytest.approx((24 * 30 + 20) / 2500)
    assert begin_trouble(None).recent is None
    assert troubled(begin_trouble(None), *[0.1] * 7, calls=10).minutes == ((60, 6), (10, 1))


def test_what_stable_failed_at_in_history_is_known_from_the_first_call() -> None:
    assert begin_trouble(Tally(stable_calls=400, stable_failures=4)).before == 0.01
    assert begin_trouble(Tally(stable_calls=200, stable_failures=4)).before == 0.02
    assert begin_trouble(Tally(stable_calls=199, stable_failures=4)).before is None
    assert begin_trouble(None) == SharedTrouble()


def test_what_is_normal_is_known_roughly_at_first_and_then_more_finely() -> None:
    known = [troubled(SharedTrouble(), *[0.0] * ticks, calls=10).before for ticks in (2, 3, 6, 10, 20)]
    assert known == [None, 2 / 32, 2 / 62, 2 / 102, 2 / 102]


@pytest.mark.parametrize("ticks", [3, 6, 20])
def test_an_outage_is_seen_though_little_was_known_and_teaches_nothing(ticks: int) -> None:
    calm = troubled(SharedTrouble(), *[0.0] * ticks, calls=10)
    ill = troubled(calm, 0.8, 0.8, 0.8, calls=10)
    assert ill.log > math.log(TROUBLE_ODDS)
    assert ill.before == calm.before


def test_trouble_is_over_once_the_last_five_minutes_are_as_before() -> None:
    calm = troubled(begin_trouble(Tally(stable_calls=400, stable_failures=4)), *[0.01] * 60)
    ill = troubled(calm, 0.3).begun()
    assert not troubled(ill, *[0.3] * 30).is_over
    well = troubled(ill, *[0.3] * 3, *[0.01] * 3)
    assert not well.is_over
    assert troubled(well, *[0.01] * 23).is_over
    assert ill.ended().log == pytest.approx(0)


def test_a_little_that_is_heard_does_not_end_trouble_and_silence_does_after_five_minutes() -> None:
    ill = begin_trouble(Tally(stable_calls=400, stable_failures=4)).begun()
    assert not troubled(ill, *[0.0] * 5, calls=30).is_over
    assert troubled(ill, *[0.0] * 6, calls=5).is_over
    late_in_a_minute = troubled(ill, *[0.3] * 3).begun()
    assert not troubled(late_in_a_minute, *[0.0] * 3, calls=30).is_over
    assert not troubled(ill, *[0.0] * 12, calls=1).is_over
    assert troubled(ill, *[0.0] * 12, calls=3).is_over
    assert not troubled(ill, *[0.0] * 20, calls=0).is_over
    assert troubled(ill, *[0.0] * 30, calls=0).is_over


def test_a_step_goes_by_what_stable_failed_at_in_calm_times_of_the_step_before() -> None:
    slowly_worse = troubled(begin_trouble(Tally(stable_calls=400, stable_failures=4)), *[0.03] * 30)
    assert slowly_worse.at_new_weight().before == pytest.approx(0.03, abs=0.001)
    ill = slowly_worse
    for _ in range(30):
        ill = ill.after(Tally(0, 0, 200, 60), 10.0, is_on=True, cluster=1.0)
    assert ill.at_new_weight().before == slowly_worse.at_new_weight().before
    calm = slowly_worse.after(Tally(0, 0, 200, 0), 10.0, is_on=True, cluster=1.0)
    assert (calm.learnt, calm.log < 0) == (slowly_worse.learnt, True)
    assert begin_trouble(None).at_new_weight().before is None


ILL = troubled(begin_trouble(Tally(stable_calls=400, stable_failures=4)), 0.3, 0.3)


def test_trouble_begins_with_minutes_of_its_own() -> None:
    assert ILL.clock == 20.0
    begun = ILL.begun()
    assert (begun.minutes, begun.clock) == (((0, 0),), 0.0)
    assert (begun.before, begun.process) == (ILL.before, ILL.process)


def test_a_step_begins_without_evidence_and_firmly_where_a_hundred_calm_calls_are_known() -> None:
    few = replace(ILL, learnt=(99, 8), is_firm=False).at_new_weight()
    assert few == replace(ILL, process=CeilingProcess(), learnt=(99, 8), is_firm=False)
    enough = replace(ILL, learnt=(100, 8), is_firm=False).at_new_weight()
    assert enough == replace(ILL, process=CeilingProcess(), learnt=(0, 0), is_firm=True, before=10 / 102)


@given(st.integers(0, 9), st.floats(0.001, 0.2))
@settings(max_examples=30)
def test_no_bet_on_trouble_is_better_than_fair_at_its_line(calls: int, before: float) -> None:
    trouble, line = SharedTrouble(before=before), 2 * before + 0.02
    expected = sum(
        math.comb(calls, failed) * line**failed * (1 - line) ** (calls - failed)
        * math.exp(trouble.after(Tally(0, 0, calls, failed), 10.0, is_on=False, cluster=1.0).log)
        for failed in range(calls + 1)
    )  # fmt: skip
    assert expected <= 1 + 1e-9


@pytest.mark.parametrize(("weight", "canary", "stable", "is_ignored"), [
    (10, 0, 44, False), (10, 0, 46, True), (10, 5, 45, False), (10, 20, 25, True), (50, 0, 8, True), (50, 9, 9, False),
    (1, 0, 300, False), (10, 5, 0, True), (100, 0, 900, False), (0, 9, 9, False),
])  # fmt: skip
def test_new_sessions_that_do_not_follow_the_weight_are_told(
    weight: int, canary: int, stable: int, is_ignored: bool
) -> None:
    assert Split("logs").after(canary, stable, weight).is_ignored is is_ignored


def test_a_split_that_is_followed_again_is_soon_no_matter() -> None:
    ignored = Split("logs").after(0, 5000, 10)
    assert ignored.is_ignored
    assert not ignored.after(30, 270, 10).is_ignored


def test_both_numbers_are_told() -> None:
    assert Split("logs").after(0, 46, 10).sentence(10) == (
        "of 46 new sessions 0 went to the canary (0%), where its weight is 10%, seen by logs: the split is ignored, "
        "or many sessions are pinned to a version"
    )


@given(st.integers(0, 9), st.integers(1, 99))
@settings(max_examples=30)
def test_the_share_test_is_fair_under_the_weight(sessions: int, weight: int) -> None:
    share = weight / 100
    for side in ("below", "above"):
        expected = 0.0
        for canary in range(sessions + 1):
            split = Split("logs").after(canary, sessions - canary, weight)
            chance = math.comb(sessions, canary) * share**canary * (1 - share) ** (sessions - canary)
            expected += chance * sum(math.exp(part) for part in getattr(split, side))
        assert expected <= 1.0 + 1e-6
    assert SPLIT_ODDS == 100


@pytest.mark.parametrize(("cluster", "least", "most"), [(1, 1.0, 2.5), (5, 5.0, 16.0), (10, 10.0, 20.0)])
def test_how_many_calls_fail_together_is_learnt_from_how_they_scatter(cluster: int, least: float, most: float) -> None:
    dice, spread = random.Random(cluster), Spread()
    for _ in range(400):
        failed = sum(cluster for _ in range(600 // cluster) if dice.random() < 0.01)
        spread = spread.after(600, failed, 0.01, 10.0)
    assert least <= spread.cluster <= most


def test_before_stable_has_shown_it_calls_are_taken_to_fail_in_clusters() -> None:
    assert Spread().cluster == 9.0
    outage = Spread().after(600, 400, 0.01, 10.0)
    assert outage.cluster <= CLUSTER_AT_MOST
    assert Spread().after(60_000, 600, 0.01, 10.0).cluster == pytest.approx(1.0, abs=0.1)


@given(st.lists(st.tuples(st.integers(0, 400), RATES, RATES), max_size=20))
@settings(max_examples=30)
def test_a_spread_stays_between_one_and_its_bound(windows: list[tuple[int, float, float]]) -> None:
    spread = Spread()
    for calls, failing, rate in windows:
        spread = spread.after(calls, round(calls * failing), min(max(rate, 2e-5), 0.95), 30.0)
        assert 1.0 <= spread.cluster <= CLUSTER_AT_MOST
