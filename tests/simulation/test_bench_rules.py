"""The rules of others do what their documentation says, on counts made for the purpose."""

from collections.abc import Iterable

import numpy as np
import pytest

from foundry_rollouts.bench.arrays import Counts
from foundry_rollouts.bench.recording import Recording, record
from foundry_rollouts.bench.rules import fixed, sequential
from foundry_rollouts.bench.rules.kayenta import is_high
from foundry_rollouts.bench.rules.ours import Ours, automatic
from foundry_rollouts.bench.rules.registry import (
    ARGO_DOCS,
    ARGO_QUICK,
    FLAGGER_TEN,
    FLAGGER_TUNED,
    KAYENTA,
    RELEASE_MANAGER,
)
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING, Pilot, Rule
from foundry_rollouts.bench.streams import Cell, Streams

ONE = np.arange(1)


def counts(calls: int, failures: int) -> Counts:
    """Return so many calls on the canary, ten times as many good ones on stable."""
    return Counts(np.array([calls]), np.array([failures]), np.array([10 * calls]), np.array([0]))


def one(rule: Rule) -> Pilot:
    return rule.pilot(Streams([Cell(10.0, 0.01)], 1, np.random.default_rng(1)))


def led(rule: Rule, minutes: Iterable[tuple[int, int]]) -> list[tuple[int, float]]:
    """Lead a rollout whose canary has so many calls and failures in each minute; return how it stands after each."""
    pilot, stands, now = one(rule), [], 0.0
    for calls, failures in minutes:
        ticks = round(60 / rule.tick)
        for tick in range(ticks):
            now += rule.tick
            is_last = tick == ticks - 1
            if pilot.ended[0] == RUNNING:
                pilot.tick(ONE, now, counts(calls * is_last, failures * is_last))
        stands.append((int(pilot.ended[0]), float(pilot.weight[0])))
    return stands


GOOD, BAD, SILENT = (100, 0), (100, 2), (0, 0)


def test_flagger_moves_a_step_a_minute_and_copies_the_version_before_it_gets_all_traffic() -> None:
    stands = led(FLAGGER_TEN, [GOOD] * 6)
    assert [weight for _, weight in stands[:5]] == [20, 30, 40, 50, 50]
    assert [ended for ended, _ in stands] == [RUNNING] * 5 + [ALL_TRAFFIC]


def test_flagger_tuned_for_the_service_lets_pass_what_its_stable_version_does_too() -> None:
    # The service fails 1 %: a minute may fail 3 %.
    assert [ended for ended, _ in led(FLAGGER_TUNED, [BAD] * 6)][-1] == ALL_TRAFFIC
    assert [ended for ended, _ in led(FLAGGER_TUNED, [(100, 4)] * 6)][-1] == ROLLED_BACK


@pytest.mark.parametrize("failed", [BAD, SILENT])
def test_flagger_forgets_no_failed_check_and_goes_back_a_minute_after_the_fifth(failed: tuple[int, int]) -> None:
    stands = led(FLAGGER_TEN, [failed, failed, GOOD, failed, failed, failed, GOOD])
    assert [ended for ended, _ in stands] == [RUNNING] * 6 + [ROLLED_BACK]


def test_argo_aborts_on_the_fourth_failed_measurement() -> None:
    stands = led(ARGO_DOCS, [(100, 6)] * 20)
    assert [ended for ended, _ in stands].index(ROLLED_BACK) == 19
    assert stands[10][1] == 40


def test_argo_advances_on_its_pauses_whatever_was_seen() -> None:
    stands = led(ARGO_DOCS, [(100, 4)] * 40)
    assert [stands[minute - 1][1] for minute in (9, 10, 20, 30)] == [20, 40, 60, 80]
    assert [ended for ended, _ in stands].index(ALL_TRAFFIC) == 39


def test_argo_takes_five_measurements_in_a_row_without_calls_for_a_failure() -> None:
    pilot, stands = one(ARGO_QUICK), []
    for now in range(10, 130, 10):
        if pilot.ended[0] == RUNNING:
            pilot.tick(ONE, float(now), counts(0, 0))
        stands.append(int(pilot.ended[0]))
    assert stands.index(ROLLED_BACK) == 9  # at 60 s, and four times ten seconds later


def test_the_release_manager_goes_back_at_once_however_few_calls_there_were() -> None:
    assert led(RELEASE_MANAGER, [SILENT, (1, 1)])[-1][0] == ROLLED_BACK


def test_the_release_manager_waits_half_an_hour_and_for_a_hundred_calls() -> None:
    assert [led(RELEASE_MANAGER, [each] * 31)[29][1] for each in ((4, 0), (3, 0))] == [20, 5]
    assert led(RELEASE_MANAGER, [(50, 0)] * 120)[-1][0] == ALL_TRAFFIC


def test_the_release_manager_looks_back_beyond_the_present_step() -> None:
    thinned = [(1000, 0)] * 29 + [(100, 99)]
    assert led(RELEASE_MANAGER, thinned)[-1][0] == RUNNING
    assert led(RELEASE_MANAGER, [*thinned, *[(10, 0)] * 25])[-1][0] == ROLLED_BACK


def test_kayenta_gives_a_healthy_canary_all_traffic_after_an_hour() -> None:
    stands = led(KAYENTA, [GOOD] * 60)
    assert (stands[58][0], stands[59][0]) == (RUNNING, ALL_TRAFFIC)


def test_kayenta_ends_a_dead_canary_at_the_first_judgement() -> None:
    assert [ended for ended, _ in led(KAYENTA, [(100, 100)] * 10)] == [RUNNING] * 9 + [ROLLED_BACK]


def test_kayenta_calls_a_clear_shift_high_and_a_small_or_opposite_one_not() -> None:
    baseline = np.random.default_rng(5).uniform(0.01, 0.03, size=30)
    assert is_high(baseline + 0.02, baseline)
    assert not is_high(baseline - 0.02, baseline)
    assert not is_high(baseline, baseline)
    assert not is_high(baseline[::-1] + 0.0005, baseline)


def test_automatic_weights_rise_to_where_a_tick_cannot_miss_more_than_the_blast_radius() -> None:
    cells = [Cell(traffic, 0.01) for traffic in (2.0, 12.0, 100.0, 2000.0)]
    streams, everyone = Streams(cells, 1, np.random.default_rng(1)), np.arange(4)
    pilot = Ours("auto", automatic(5.0)).pilot(streams)
    assert pilot.weight.tolist() == [1, 1, 1, 1]
    counts, _ = streams.draw(everyone, 0.0, 5.0, pilot.weight)
    pilot.tick(everyone, 5.0, counts)
    assert pilot.weight.tolist() == [20, 20, 2, 1]


def test_automatic_weights_wait_until_a_call_of_the_step_could_have_hung() -> None:
    streams, everyone = Streams([Cell(2.0, 0.01)], 1, np.random.default_rng(1)), np.arange(1)
    pilot, weights = Ours("auto", automatic(60.0)).pilot(streams), []
    for now in range(5, 70, 5):
        counts, _ = streams.draw(everyone, now - 5.0, 5.0, pilot.weight)
        pilot.tick(everyone, float(now), counts)
        weights.append(float(pilot.weight[0]))
    assert weights == [1.0] * 11 + [20.0] * 2


def half_an_hour(cell: Cell, runs: int = 300) -> Recording:
    return record(Streams([cell], runs, np.random.default_rng(9)), lambda _now: 10.0, 1800.0, 10.0)


def test_a_threshold_lets_just_the_allowed_part_of_equal_runs_go_back() -> None:
    for form, level in fixed.levels(half_an_hour(Cell(2.0, 0.05))):
        line = fixed.threshold(level, allowed=0.05)
        assert (level > line).any(axis=1).mean() <= 0.05, form


def test_there_is_a_threshold_for_every_form_and_checks_come_once_a_window_or_slide() -> None:
    seen = half_an_hour(Cell(2.0, 0.05), runs=4)
    found = {form: level.shape[1] for form, level in fixed.levels(seen)}
    assert found.keys() == set(fixed.FORMS)
    assert {(form.is_sliding, form.window, ticks) for form, ticks in found.items()} >= {
        (False, 60.0, 30),
        (True, 60.0, 180),
    }


def test_checks_must_exceed_the_threshold_in_a_row_where_windows_slide_and_add_up_where_they_do_not() -> None:
    calls = np.full((1, 180), 10)
    failures = np.zeros((1, 180), dtype=np.int64)
    failures[0, [3, 4, 8]] = 5
    seen = Recording(10.0, Counts(calls, failures, calls, calls * 0), np.zeros((1, 180)), np.zeros(1))
    levels = {form: level for form, level in fixed.levels(seen) if form.window == 10.0 and form.least_calls == 1}
    highest = {(form.is_sliding, form.checks): level.max() for form, level in levels.items() if not form.is_relative}
    assert highest == {
        (True, 1): 0.5, (True, 2): 0.5, (True, 3): 0.0, (True, 5): 0.0,
        (False, 1): 0.5, (False, 2): 0.5, (False, 3): 0.5, (False, 5): 0.0,
    }  # fmt: skip


def test_the_oracle_and_the_mixture_gather_evidence_against_a_bad_canary_only() -> None:
    bad, equal = half_an_hour(Cell(20.0, 0.01, "5x")), half_an_hour(Cell(20.0, 0.01))
    for test in (
        lambda seen: sequential.oracle(seen, 0.05, 0.01),
        lambda seen: sequential.mixture(seen, 0.04),
        sequential.ours,
    ):
        assert (test(bad).max(axis=1) > np.log(100)).all()
        assert (test(equal).max(axis=1) > np.log(100)).mean() <= 0.04


def test_pooled_z_is_fooled_by_an_outage_after_a_change_of_weight_and_ours_is_not() -> None:
    cell = Cell(20.0, 0.01, pattern="outage", outage_at=1000.0)
    weights = lambda now: 10.0 if now < 900 else 50.0  # noqa: E731
    seen = record(Streams([cell], 50, np.random.default_rng(2)), weights, 1800.0, 10.0)
    assert (sequential.pooled_z(seen).max(axis=1) > 3.09).all()
    assert (sequential.ours(seen, new_weight_at=90).max(axis=1) < np.log(100)).all()
