"""The course of a rollout as points: what charts show is what the judge said."""

import asyncio
import math
from datetime import timedelta

import pytest

from builders import NOON, a_policy
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.model.policy import Gate, GateKind, WeightStep
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.operations.courses import course_of
from foundry_rollouts.operations.explain import explain
from foundry_rollouts.operations.replayed import KEPT, Replays
from foundry_rollouts.operations.series import ROWS, chosen, rate_points, wilson
from foundry_rollouts.store.store import SqlStore
from small_world import SmallWorld
from users_world import UsersSource, a_users_policy


async def a_world(store: SqlStore, **but: object) -> SmallWorld:
    world = SmallWorld(lambda _: store, **but)  # type: ignore[arg-type]
    await world.begin()
    return world


async def test_the_points_are_what_each_decision_rested_on(store: SqlStore) -> None:
    world = await a_world(store, bad_from=50)
    await world.run(ticks=8)
    course = await course_of(store, Replays(), "r-1")
    told = await explain(store, "r-1")
    judged = {decision.at: decision.gates[0] for decision in told.decisions if decision.gates}
    shown = {point.at: point.gates[0] for point in course.evidence}
    assert judged.keys() == shown.keys()
    for at, gate in judged.items():
        assert shown[at].harm_log10 == pytest.approx(gate.harm_log10, abs=1e-4)
        assert shown[at].safe_log10 == pytest.approx(gate.safe_log10, abs=1e-4)
        assert shown[at].verdict == gate.verdict
    assert [point.weight for point in course.evidence] == [10, 50]
    last = course.evidence[-1]
    assert last.harm_log10 is not None
    assert last.harm_log10 >= course.harm_enough_log10 == 2
    assert course.safe_enough_log10 == pytest.approx(math.log10(20))
    assert [mark.kind for mark in course.marks][-1] == "rollout.rolled_back"
    (rates,) = course.rates
    assert (rates.gate, rates.stratum, rates.points[-1].canary_failures) == ("error-rate", "probe", 18)
    # The probe divides its calls evenly: they say nothing of where users go.
    assert {point.share for point in course.weights} == {None}


async def test_a_course_goes_on_where_it_was_and_comes_to_the_same(store: SqlStore) -> None:
    gates = tuple(Gate(kind, ("probe",)) for kind in (GateKind.ERROR_RATE, GateKind.LATENCY))
    steps = (WeightStep(10, min=timedelta(hours=1)), WeightStep(100))
    world = await a_world(store, policy=a_policy(steps=steps, gates=gates))
    watched = Replays()
    for _ in range(4):
        await world.run(ticks=6)
        await course_of(store, watched, "r-1")
    one, other = await course_of(store, watched, "r-1"), await course_of(store, Replays(), "r-1")
    assert len(one.evidence) == 23
    assert one == other


async def test_who_asks_at_once_takes_nothing_in_twice_and_who_leaves_breaks_nothing(store: SqlStore) -> None:
    world = await a_world(store, policy=a_users_policy(), bad_from=101)
    world.source = UsersSource(world.cloud)
    await world.run(ticks=6)
    replays = Replays()
    leaving = asyncio.create_task(course_of(store, replays, "r-1"))
    await asyncio.sleep(0)
    leaving.cancel()
    one, other = await asyncio.gather(*(course_of(store, replays, "r-1") for _ in range(2)))
    assert one == other == await course_of(store, Replays(), "r-1")


async def test_an_unknown_rollout_has_no_course_and_old_ones_are_let_go(store: SqlStore) -> None:
    replays = Replays()
    with pytest.raises(NotFoundError):
        await course_of(store, replays, "nothing")
    for number in range(KEPT + 2):
        world = SmallWorld(lambda _: store, id=f"r-{number}")
        await world.begin()
        await course_of(store, replays, f"r-{number}")
    assert len(replays._kept) == KEPT


@pytest.mark.parametrize("count", [0, 1, ROWS, ROWS + 1, 5000])
def test_a_chart_has_few_points_the_last_and_those_around_a_change(count: int) -> None:
    weights = [10 if place < count // 3 else 50 for place in range(count)]
    places = chosen(weights)
    assert len(places) <= ROWS + 4
    assert places == sorted(set(places))
    if count:
        assert {0, count - 1} <= set(places)
    if count > ROWS:
        assert {count // 3 - 1, count // 3} <= set(places)
        # One more point moves none of the others.
        assert set(places) - set(chosen([*weights, 50])) <= {count - 1}


def test_a_rate_is_a_mean_of_a_minute_or_of_enough_calls() -> None:
    policy = a_policy()
    (gate,) = policy.gates
    totals = [(NOON + timedelta(seconds=10 * n), Tally(4 * n, max(n - 20, 0), 40 * n, n)) for n in range(1, 31)]
    points = rate_points(policy, gate, totals)
    assert [point.canary for point in points[:9]] == [None] * 9  # fewer than 40 calls
    assert (points[9].canary_calls, points[9].canary, points[9].stable) == (40, 0.0, 0.025)
    assert points[9].tolerated == pytest.approx(0.03)
    assert points[-1].canary_calls == 40
    assert points[-1].canary == pytest.approx(0.25)
    low, high = points[-1].canary_low, points[-1].canary_high
    assert low is not None
    assert high is not None
    assert low < 0.25 < high


def test_the_range_of_a_share_is_wilsons() -> None:
    # As SciPy has it, for 24 of 63.
    assert wilson(24, 63) == pytest.approx((0.2715, 0.5042), abs=1e-3)
    assert wilson(0, 50)[0] == 0.0
