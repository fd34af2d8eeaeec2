"""Rollouts of the past, told again: why each decision fell, and what another policy would have done."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout
from fakes import record, stand
from foundry_rollouts.core.judging.constants import BESIDE
from foundry_rollouts.core.model.effects import OnSplit
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.replay.recorded import BacktestOutcome
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.operations.backtest import BacktestView, backtests
from foundry_rollouts.operations.explain import CountsPair, explain
from foundry_rollouts.operations.explain_values import BoundsView
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore
from small_world import CostlySource, SmallWorld, a_costly_policy, a_quick_policy
from users_world import UsersSource, a_users_policy


async def a_story(store: SqlStore, ticks: int = 40, **but: object) -> SmallWorld:
    """Run a rollout through real ticks on the real store."""
    world = SmallWorld(lambda _: store, **but)  # type: ignore[arg-type]
    await world.begin()
    await world.run(ticks)
    return world


@pytest.mark.parametrize("bad_from", [101, 50, 1], ids=["good", "bad from 50 on", "bad"])
async def test_what_is_computed_again_is_what_was_decided(store: SqlStore, bad_from: int) -> None:
    await a_story(store, bad_from=bad_from)
    told = await explain(store, "r-1")
    judged = [decision for decision in told.decisions if decision.gates]
    assert len(judged) == {101: 3, 50: 2, 1: 1}[bad_from]
    for decision in judged:
        assert decision.computed == decision.because
    assert all(decision.computed is None for decision in told.decisions if decision not in judged)
    assert [decision.kind for decision in told.decisions[:2]] == ["rollout.created", "rollout.started"]


async def test_a_decision_tells_all_that_it_rested_on(store: SqlStore) -> None:
    await a_story(store, bad_from=50)
    told = await explain(store, "r-1")
    *_, last = told.decisions
    (gate,) = last.gates
    (stratum,) = gate.strata
    assert (told.phase, last.kind, last.weights) == (Phase.ROLLED_BACK, "rollout.rolled_back", {"1": 100})
    assert (told.judge.tolerate, told.judge.harm_enough_log10) == ("1.2x", 2)
    assert (last.step_age_seconds, len(last.measurements)) == (10, 1)
    assert (gate.gate, gate.verdict, gate.part) == ("error-rate", "fail", 1)
    assert (gate.canary_value, gate.stable_value) == (0.6, 0)
    assert gate.harm_log10 == pytest.approx(stratum.harm_log10 + math.log10(1 - BESIDE), abs=0.01)
    assert (stratum.stratum, stratum.share) == ("probe", 1)
    assert stratum.at_step == CountsPair(30, 18, 30, 0)
    assert stratum.total.canary_calls > 30
    assert stratum.harm_log10 >= 2


async def test_a_number_that_breaks_its_bounds_is_told_window_by_window(store: SqlStore) -> None:
    world = SmallWorld(lambda _: store, policy=a_costly_policy())
    world.source = CostlySource(world.cloud)
    await world.begin()
    await world.run()
    told = await explain(store, "r-1")
    *_, last = told.decisions
    _, cost = last.gates
    (value,) = cost.values
    assert (last.kind, cost.gate, cost.verdict, cost.part) == ("rollout.rolled_back", "value:cost", "fail", 0)
    assert cost.bounds == BoundsView("cost", None, 5, None, 1.2, 2)
    assert (value.source, value.inside, value.outside, value.trouble) == ("http", 0, 2, None)
    late = world.time - timedelta(seconds=5)
    assert [(each.end, each.canary, each.stable) for each in value.numbers] == [
        (late - timedelta(seconds=10), 5.0, 4.0),
        (late, 5.5, 4.0),
    ]
    assert [each.flaw for each in value.numbers] == ["5 is above 1.2x stable's 4", "5.5 is above 5"]
    assert last.computed == last.because
    assert last.measurements[-1].canary.values == {"cost": 5.5}


async def test_numbers_of_an_earlier_weight_are_left_out(store: SqlStore) -> None:
    world = SmallWorld(lambda _: store, policy=a_costly_policy())
    world.source = CostlySource(world.cloud, cost=1)
    await world.begin()
    await world.run(ticks=4)
    advanced, held = (await explain(store, "r-1")).decisions[-2:]
    assert advanced.kind == "rollout.advanced"
    assert [number.canary for number in advanced.gates[1].values[0].numbers] == [1.5, 2.0]
    assert [number.canary for number in held.gates[1].values[0].numbers] == [2.5]


async def test_a_rollout_in_hand_is_told_up_to_now(store: SqlStore) -> None:
    world = await a_story(store, ticks=4, policy=a_policy())
    *_, last = (await explain(store, "r-1")).decisions
    now = await store.rollout("r-1")
    assert (last.kind, last.at, last.because) == ("rollout.held", world.time, now.because)
    assert last.computed == now.because
    assert (last.weights, len(last.measurements)) == ({"1": 90, "2": 10}, 3)


async def test_a_rollout_that_never_began_has_decisions_without_inputs(store: SqlStore) -> None:
    await stand(store, a_rollout(phase=Phase.FAILED, because="the wheel is missing"))
    (only,) = (await explain(store, "r-1")).decisions
    assert (only.kind, only.because, only.gates) == ("rollout.failed", "the wheel is missing", ())


async def test_an_unknown_rollout_is_not_explained(store: SqlStore) -> None:
    with pytest.raises(NotFoundError):
        await explain(store, "r-0")


async def would(store: SqlStore, policy: Policy, agent: str | None = None) -> list[BacktestView]:
    return [each async for each in backtests(store, policy, agent)]


@pytest.mark.parametrize("bad_from", [101, 50, 1], ids=["good", "bad from 50 on", "bad"])
async def test_under_its_own_policy_a_rollout_would_have_ended_as_it_did(store: SqlStore, bad_from: int) -> None:
    await a_story(store, bad_from=bad_from)
    (view,) = await would(store, a_quick_policy())
    assert view.would.value == view.happened.value
    assert view.after_seconds == view.happened_after_seconds
    assert (view.canary_calls, view.canary_failures) == (view.happened_canary_calls, view.happened_canary_failures)
    rollout = await store.rollout("r-1")
    assert view.because == rollout.because


async def test_under_another_policy_it_would_have_ended_otherwise(store: SqlStore) -> None:
    await a_story(store, bad_from=50)
    (cautious,) = await would(store, a_policy())
    assert (cautious.happened, cautious.would) == (Phase.ROLLED_BACK, BacktestOutcome.WAITING)
    assert (cautious.weight, cautious.canary_failures, cautious.happened_canary_failures) == (10, 0, 18)


async def test_only_rollouts_that_began_and_ended_are_told_newest_first(store: SqlStore) -> None:
    for place in (1, 2):
        await a_story(store, id=f"r-{place}")
    await a_story(store, ticks=3, id="r-3")
    await stand(store, a_rollout(id="r-4", phase=Phase.FAILED))
    assert [view.rollout for view in await would(store, a_quick_policy())] == ["r-2", "r-1"]
    assert [view.rollout for view in await would(store, a_quick_policy(), "support-r-1")] == ["r-1"]


async def test_more_rollouts_than_a_page_are_all_told(store: SqlStore) -> None:
    for place in range(5):
        ended = a_rollout(id=f"r-{place}", phase=Phase.PROMOTED, started_at=NOON, ended_at=NOON + timedelta(hours=1))
        await record(store, ended.agent, Record(created=replace(ended, event_count=1)))
    views = [view async for view in backtests(store, a_policy(), page_size=2)]
    assert [view.rollout for view in views] == [f"r-{place}" for place in (4, 3, 2, 1, 0)]
    assert {view.would for view in views} == {BacktestOutcome.UNKNOWN}
    assert {view.happened_after_seconds for view in views} == {3600}


async def test_what_the_world_did_to_the_evidence_is_told(store: SqlStore) -> None:
    policy = a_users_policy(warm_up=timedelta(seconds=10), on_split=OnSplit.NOTE)
    world = SmallWorld(lambda _: store, policy=policy, bad_from=100)
    world.source = UsersSource(world.cloud, bad_from=100)
    await world.begin()
    await world.run()
    told = await explain(store, "r-1")
    assert told.judge.warm_up_seconds == 10
    back = next(decision for decision in told.decisions if decision.kind == "rollout.stepped_back")
    before = next(decision for decision in told.decisions if decision.kind == "rollout.advanced")
    (at_100,), (at_10,) = back.gates[0].strata, before.gates[0].strata
    assert (back.settles_seconds, back.is_troubled) == (0, False)
    assert at_10.cluster > 1
    assert at_10.guard_log10 is None
    assert at_100.guard_log10 is not None
    assert at_100.guard_log10 >= 2
    (split,) = before.splits
    assert (split.stratum, split.canary, split.is_ignored) == ("http", 0, False)
    assert split.stable > 0
    assert back.splits == ()
