"""Which tick starts when: the urgent first, the next as soon as one has ended, and never more than are allowed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import a_rollout, an_event
from foundry_rollouts import clock
from foundry_rollouts.controller.due import Urgency
from foundry_rollouts.controller.existence import LastReads
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.tick_loop import TickLoop
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.errors import LeaseLostError, StoreError
from foundry_rollouts.ports import Lease
from foundry_rollouts.telemetry import Metrics
from patience import PATIENCE
from small_world import SmallWorld

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@dataclass
class Ticks:
    """Stands in for the ticker: each tick waits until it is let go, and says what is to become of it."""

    store: Any
    period: timedelta = HOUR
    metrics: Metrics = field(default_factory=lambda: Metrics("test"))
    due_at: dict[str, datetime] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    fences: list[int] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    failing: Exception | None = None
    keeps: bool = True
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    last_known: dict[str, Any] = field(default_factory=dict)
    unwatched: list[str] = field(default_factory=list)
    reads: LastReads = field(default_factory=lambda: LastReads(timedelta(0)))

    @property
    def world(self) -> Any:
        return self

    @property
    def offline(self) -> Any:
        return self

    def now(self) -> datetime:
        return clock.now()

    async def check_offline(self, lease: Lease) -> None:
        self.unwatched.append(lease.agent)

    async def tick(self, lease: Lease) -> bool:
        self.told.append(lease.agent)
        self.fences.append(lease.fence)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        if self.failing:
            raise self.failing
        return self.keeps


@dataclass
class Bench:
    """A loop over agents that are held."""

    loop: TickLoop
    ticks: Ticks
    store: Any

    async def hold(self, *agents: str) -> None:
        for agent in agents:
            rollout = a_rollout(id=agent, agent=agent)
            await self.store.create(rollout, an_event(id=agent, agent=agent, rollout=agent), None)
        await self.loop.pool.claim_due(clock.now() + HOUR, 100)

    async def ended(self) -> None:
        """Wait until no tick runs."""
        async with asyncio.timeout(PATIENCE):
            while self.loop.tasks:
                await asyncio.wait(self.loop.tasks)

    async def begun(self, number: int) -> None:
        await until(lambda: len(self.ticks.told) >= number)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - nobody rings a bell here
            await asyncio.sleep(0.001)


@pytest.fixture
def bench(world: SmallWorld) -> Bench:
    store: Any = world.open_as("one")
    ticks = Ticks(store)
    ticker: Any = ticks
    loop = TickLoop(ticker, LeasePool(store, clock.elapsed), Troubles(), 2, SECOND, set())
    return Bench(loop, ticks, store)


async def test_as_many_run_as_are_allowed_and_one_that_ends_starts_the_next(bench: Bench) -> None:
    agents = [f"agent-{number}" for number in range(7)]
    await bench.hold(*agents)
    for agent in agents:
        bench.loop.due.plan(agent, clock.now() - SECOND)
    bench.loop.pump()
    await bench.begun(2)
    assert bench.ticks.told == agents[:2]
    bench.ticks.gate.set()
    await bench.ended()
    assert bench.ticks.told == agents
    assert bench.ticks.most == 2


async def test_who_is_woken_during_the_last_tick_is_ticked_once_more(bench: Bench) -> None:
    await bench.hold("a")
    bench.ticks.keeps = False
    bench.loop.wake(["a"])
    await bench.begun(1)
    assert bench.loop.wake(["a"]) == []
    bench.ticks.gate.set()
    await bench.begun(2)
    await bench.ended()
    assert bench.ticks.told == ["a", "a"]
    assert not bench.loop.pool.holds("a")


async def test_what_is_due_about_the_same_time_begins_together_and_what_is_woken_waits_for_nobody(bench: Bench) -> None:
    await bench.hold("a", "b", "c")
    second = clock.now().replace(microsecond=0) + 2 * SECOND
    bench.loop.due.plan("a", second + SECOND / 20)
    bench.loop.due.plan("b", second + SECOND * 9 / 20)
    bench.loop.start()
    try:
        await bench.begun(1)
        began = clock.now()
        assert bench.ticks.told == ["a", "b"]
        assert began >= second + SECOND / 2
        bench.ticks.gate.set()
        await bench.ended()
        bench.loop.due.plan("c", began + HOUR, Urgency.WOKEN)
        bench.loop.pump()
        await bench.begun(3)
    finally:
        bench.loop.stop()


async def test_what_is_woken_goes_before_all_routine_that_waits(bench: Bench) -> None:
    await bench.hold("a", "b", "c", "d", "e")
    for agent in "abcde":
        bench.loop.due.plan(agent, clock.now() - SECOND)
    bench.loop.pump()
    assert bench.loop.wake(["e", "nobody"]) == ["nobody"]
    bench.ticks.gate.set()
    await bench.ended()
    assert bench.ticks.told == ["a", "b", "e", "c", "d"]


async def test_nothing_by_routine_begins_beside_what_was_woken_and_has_just_begun(bench: Bench) -> None:
    await bench.hold("a", "b", "c")
    bench.loop.wake(["a"])
    await bench.begun(1)
    bench.loop.due.plan("b", clock.now() - SECOND)
    bench.loop.pump()
    await asyncio.sleep(0.01)
    assert bench.ticks.told == ["a"]
    bench.loop.wake(["c"])
    await bench.begun(2)
    bench.ticks.gate.set()
    await bench.ended()
    assert bench.ticks.told == ["a", "c", "b"]


async def test_what_was_woken_and_hangs_keeps_routine_for_a_moment_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundry_rollouts.controller.tick_loop.GIVES_WAY", 0.05)
    await bench.hold("a", "b")
    bench.loop.start()
    try:
        bench.loop.wake(["a"])
        bench.loop.due.plan("b", clock.now() - SECOND)
        bench.loop.pump()
        await bench.begun(2)
        assert bench.ticks.under_way == 2
        bench.ticks.gate.set()
        await bench.ended()
    finally:
        bench.loop.stop()


async def test_what_is_woken_again_and_again_keeps_routine_no_longer_than_a_moment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundry_rollouts.controller.tick_loop.GIVES_WAY", 0.1)
    bench.loop.at_once = 100
    noisy = [f"noisy-{number}" for number in range(40)]
    await bench.hold("quiet", *noisy)
    bench.loop.start()
    try:
        bench.loop.wake(noisy[:1])
        bench.loop.due.plan("quiet", clock.now() - SECOND)
        for agent in noisy[1:]:  # None of them ends, and one more begins before the last has gone first for long.
            await asyncio.sleep(0.02)
            bench.loop.wake([agent])
        assert "quiet" in bench.ticks.told
        assert bench.ticks.told.index("quiet") >= 3
        bench.ticks.gate.set()
        await bench.ended()
    finally:
        bench.loop.stop()


async def test_what_is_due_and_waits_for_others_of_its_time_is_not_taken_for_woken(bench: Bench) -> None:
    await bench.hold("a")
    bench.ticks.gate.set()
    bench.loop.wake(["a"])
    await bench.ended()
    due = clock.now() - SECOND / 100
    bench.loop.due.forget("a")
    bench.loop.due.plan("a", due)
    bench.loop.overlooked("a", due, clock.now())
    assert bench.loop.due.pop(clock.now(), Urgency.WOKEN) is None
    assert bench.loop.due.at("a") == due


async def test_whoever_is_woken_while_its_agent_is_given_back_is_not_forgotten(bench: Bench) -> None:
    await bench.hold("a")
    left: list[str] = []
    bench.loop.on_left = lambda: left.append("a")
    bench.ticks.keeps = False
    bench.ticks.gate.set()
    release = bench.loop.pool.release

    async def woken_meanwhile(lease: Lease, *, keep: bool) -> None:
        await release(lease, keep=keep)
        bench.loop.pool._in_use.add("a")
        bench.loop.wake(["a"])
        bench.loop.pool._in_use.discard("a")

    bench.loop.pool.release = woken_meanwhile  # type: ignore[method-assign]
    bench.loop.wake(["a"])
    await bench.ended()
    assert left == ["a"]


async def test_a_pool_that_closes_begins_nothing(bench: Bench) -> None:
    await bench.hold("a")
    bench.loop.pool.close()
    bench.loop.wake(["a"])
    await asyncio.sleep(0)
    assert bench.ticks.told == []


async def test_who_is_woken_during_its_tick_is_ticked_once_more(bench: Bench) -> None:
    await bench.hold("a")
    bench.loop.wake(["a"])
    await bench.begun(1)
    bench.loop.wake(["a"])
    bench.loop.wake(["a"])
    bench.ticks.gate.set()
    await bench.ended()
    assert bench.ticks.told == ["a", "a"]
    assert bench.ticks.fences == [1, 1]
    assert (bench.loop.due.at("a") or clock.now()) - clock.now() > HOUR / 2


async def test_a_rollout_is_ticked_when_its_record_says_and_by_the_timer(bench: Bench) -> None:
    await bench.hold("a")
    bench.ticks.gate.set()
    bench.loop.start()
    bench.loop.wake(["a"])
    await bench.ended()
    bench.loop.due.plan("a", clock.now() + timedelta(milliseconds=20))
    bench.loop.pump()
    assert len(bench.ticks.told) == 1
    await bench.begun(2)
    await bench.ended()
    bench.loop.stop()
    bench.loop.due.plan("a", clock.now())
    await asyncio.sleep(0.01)
    assert len(bench.ticks.told) == 2


async def test_a_tick_that_failed_is_tried_again_later_each_time_and_behind_a_new_fence(bench: Bench) -> None:
    await bench.hold("a")
    bench.ticks.gate.set()
    bench.ticks.failing = StoreError("the answer was lost")
    waits = []
    for _ in range(3):
        bench.loop.wake(["a"])
        await bench.ended()
        waits.append((bench.loop.due.at("a") or clock.now()) - clock.now())
    assert bench.ticks.fences == [1, 2, 3]
    assert bench.ticks.unwatched == ["a", "a", "a"]
    assert waits[0] < waits[1] < waits[2]
    bench.ticks.failing = None
    bench.loop.wake(["a"])
    await bench.ended()
    bench.loop.wake(["a"])
    await bench.ended()
    assert bench.ticks.fences == [1, 2, 3, 4, 4]


async def test_a_lease_that_is_lost_is_planned_no_more(bench: Bench) -> None:
    await bench.hold("a", "b")
    bench.ticks.gate.set()
    bench.ticks.failing = LeaseLostError("another replica has it")
    bench.loop.wake(["a"])
    await bench.ended()
    assert not bench.loop.pool.holds("a")
    assert bench.loop.due.at("a") is None
    bench.ticks.failing = None
    later = clock.now() + timedelta(hours=2)
    other = await bench.store.claim("b", later)
    assert other is not None
    bench.loop.pool.doubt("b")
    bench.loop.wake(["b"])
    await bench.ended()
    assert bench.ticks.told == ["a", "b"]
    assert bench.ticks.fences[-1] > other.fence


async def test_an_agent_without_rollouts_is_given_back_and_forgotten(bench: Bench) -> None:
    await bench.hold("a")
    bench.ticks.gate.set()
    bench.ticks.keeps = False
    bench.loop.wake(["a"])
    await bench.ended()
    assert len(bench.loop.pool) == 0
    assert len(bench.loop.due) == 0


async def test_while_the_database_is_away_nothing_is_ticked(bench: Bench) -> None:
    await bench.hold("a")
    bench.loop.is_halted = True
    bench.loop.wake(["a"])
    assert not bench.loop.tasks
    bench.loop.is_halted = False
    bench.ticks.gate.set()
    bench.loop.pump()
    await bench.ended()
    assert bench.ticks.told == ["a"]


async def test_what_rang_nowhere_is_found_by_what_the_database_says(bench: Bench) -> None:
    await bench.hold("a", "b")
    now = clock.now() - SECOND
    bench.loop.overlooked("a", now, now)
    assert bench.loop.due.at("a") == now  # It was never ticked here.
    bench.ticks.gate.set()
    bench.loop.pump()
    await bench.ended()
    bench.loop.overlooked("a", now, now)
    assert bench.loop.due.ready(clock.now()) == 0  # That was read before the tick was written.
    bench.loop.overlooked("a", clock.now(), clock.now())
    assert bench.loop.due.pop(now) is not None


async def test_what_is_woken_in_the_database_during_a_tick_is_ticked_once_more(bench: Bench) -> None:
    await bench.hold("a")
    bench.loop.wake(["a"])
    await bench.begun(1)
    bench.loop.overlooked("a", clock.now() - HOUR, clock.now())
    bench.loop.overlooked("a", clock.now(), clock.now())
    bench.ticks.gate.set()
    await bench.ended()
    assert bench.ticks.told == ["a", "a"]


async def test_urgency_counts_only_among_those_that_wait(bench: Bench) -> None:
    await bench.hold("a", "b")
    bench.loop.due.plan("a", clock.now() + HOUR, Urgency.WOKEN)
    bench.loop.due.plan("b", clock.now() + HOUR)
    bench.ticks.gate.set()
    bench.loop.pump()
    await bench.ended()
    assert bench.ticks.told == ["a"]
