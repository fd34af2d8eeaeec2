"""The traffic is as its cell says."""

import numpy as np
import pytest

from foundry_rollouts.bench.arrays import Counts, Floats
from foundry_rollouts.bench.recording import first_tick, record
from foundry_rollouts.bench.streams import EFFECTS, Cell, Streams, harmful, harmless, worse

RUNS = 4000
EVERYONE = np.arange(RUNS)


def streams(cell: Cell) -> Streams:
    return Streams([cell], RUNS, np.random.default_rng(3))


def drawn(cell: Cell, now: float = 0.0) -> tuple[Counts, Floats]:
    return streams(cell).draw(EVERYONE, now, 10.0, np.full(RUNS, 10.0))


def test_calls_arrive_at_the_traffic_and_are_divided_at_the_weight() -> None:
    counts, _ = drawn(Cell(20.0, 0.01))
    assert counts.calls.mean() == pytest.approx(200, rel=0.01)
    assert counts.calls.var() == pytest.approx(200, rel=0.1)
    assert counts.canary_calls.sum() / counts.calls.sum() == pytest.approx(0.1, rel=0.02)


def test_both_versions_fail_at_their_rates_and_harm_is_what_the_canary_adds() -> None:
    counts, harm = drawn(Cell(20.0, 0.05, "5x"))
    assert counts.canary_failures.sum() / counts.canary_calls.sum() == pytest.approx(0.25, rel=0.05)
    assert counts.stable_failures.sum() / counts.stable_calls.sum() == pytest.approx(0.05, rel=0.05)
    assert harm == pytest.approx(counts.canary_calls * 0.2)


@pytest.mark.parametrize(
    ("effect", "rate"),
    [("equal", 0.01), ("+0.5pp", 0.015), ("2x", 0.02), ("dead", 1.0), ("late", 0.21), ("on the bad line", 0.02)],
)
def test_an_effect_makes_the_canary_so_much_worse(effect: str, rate: float) -> None:
    assert worse(effect, np.array([0.01])) == pytest.approx(rate)


def test_a_late_effect_shows_only_then() -> None:
    late = streams(Cell(2.0, 0.01, "late", breaks_at=600.0))
    assert [float(late.rates(EVERYONE, now)[0].mean()) for now in (595.0, 600.0)] == pytest.approx([0.01, 0.21])
    assert late.excess_at_full_weight(EVERYONE, 0.0, 3600.0).mean() == pytest.approx(2.0 * 3000 * 0.2)


def test_an_outage_hits_both_versions_for_three_minutes() -> None:
    out = streams(Cell(2.0, 0.01, pattern="outage", outage_at=300.0))
    rates = [tuple(float(each.mean()) for each in out.rates(EVERYONE, now)) for now in (295.0, 300.0, 475.0, 480.0)]
    assert rates == [pytest.approx((rate, rate)) for rate in (0.01, 0.3, 0.3, 0.01)]


def test_each_run_draws_an_outage_of_its_own() -> None:
    out = streams(Cell(2.0, 0.01, pattern="outage"))
    seen = np.mean([out.rates(EVERYONE, now)[1] > 0.1 for now in np.arange(0.0, 700.0, 10.0)], axis=0) * 700
    assert seen.tolist() == pytest.approx([180.0] * RUNS, abs=10)


def test_a_drift_triples_the_rates_in_half_an_hour() -> None:
    drift = streams(Cell(2.0, 0.01, pattern="drift"))
    means = [float(drift.rates(EVERYONE, now)[1].mean()) for now in (0.0, 900.0, 1800.0, 3000.0)]
    assert means == pytest.approx([0.01, 0.02, 0.03, 0.03])


def test_bursts_gather_the_same_failures_into_fewer_half_minutes() -> None:
    bursty = streams(Cell(2.0, 0.01, pattern="bursty"))
    rates = bursty.rates(EVERYONE, 0.0)[1]
    assert rates.mean() == pytest.approx(0.01, rel=0.1)
    assert np.median(rates) < 0.006
    assert (bursty.rates(EVERYONE, 29.0)[1] == rates).all()
    assert (bursty.rates(EVERYONE, 30.0)[1] != rates).any()


def test_a_lagging_share_follows_the_weight_slowly() -> None:
    lagging = streams(Cell(20.0, 0.01, share="lagging"))
    lagging.draw(EVERYONE, 0.0, 10.0, np.full(RUNS, 10.0))
    counts, _ = lagging.draw(EVERYONE, 10.0, 300.0, np.full(RUNS, 50.0))
    assert counts.canary_calls.sum() / counts.calls.sum() == pytest.approx(0.5 - 0.4 * np.exp(-1), rel=0.01)


def test_an_oscillating_share_swings_by_half_around_the_weight() -> None:
    cell = Cell(20.0, 0.01, share="oscillating")
    shares = [
        counts.canary_calls.sum() / counts.calls.sum() for counts, _ in (drawn(cell, now) for now in (60.0, 180.0))
    ]
    assert shares == pytest.approx([0.15, 0.05], rel=0.05)


def test_there_are_twelve_services_with_every_pattern_and_every_effect() -> None:
    assert len(harmless()) == 12 * 4
    assert len(harmful()) == 12 * (len(EFFECTS) + 1)


def test_a_recording_keeps_every_tick_and_moves_its_windows() -> None:
    seen = record(streams(Cell(2.0, 0.5, "dead")), lambda now: 10.0 if now < 30 else 50.0, 60.0, 10.0)
    assert seen.ticks == 6
    half_minute = seen.window(30.0)
    counts = seen.counts.canary_calls
    assert (half_minute.canary_calls[:, 4] == counts[:, 2:5].sum(axis=1)).all()
    assert (half_minute.canary_calls[:, 1] == counts[:, :2].sum(axis=1)).all()
    assert counts[:, 3:].sum() == pytest.approx(5 * counts[:, :3].sum(), rel=0.05)
    assert seen.harm[:, -1] == pytest.approx(counts.sum(axis=1) * 0.5)
    assert seen.harm_until(np.full(RUNS, 6)).tolist() == seen.harm[:, -1].tolist()


def test_the_first_tick_is_the_number_of_ticks_where_there_is_none() -> None:
    assert first_tick(np.array([[False, True, True], [False, False, False]])).tolist() == [1, 3]
