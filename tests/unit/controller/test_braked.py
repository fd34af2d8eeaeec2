"""The stopped line and holds keep rollouts where they stand, and let them go back: with the real store."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from builders import NOON
from foundry_rollouts import clock
from foundry_rollouts.controller.brakes import BrakeFacts
from foundry_rollouts.core.model.brake import Brake, BrakeKind, Scope
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import StoreError
from foundry_rollouts.telemetry import Metrics
from patience import PATIENCE
from small_world import TICK, Deaths, SmallWorld
from unit.controller.asking import ask, kinds, reach
from unit.controller.test_scheduler import a_replica, until

DAY = timedelta(days=1)
LINE = Scope(BrakeKind.LINE)


def a_stop(at: datetime = NOON, *, until: datetime | None = None, project: str = "") -> Brake:
    return Brake("b-1", Scope(BrakeKind.LINE, project), "incident 4711", "kim", at, until)


def a_hold(world: SmallWorld, version: str = "1", until: datetime | None = None) -> Brake:
    return Brake("b-2", Scope(BrakeKind.HOLD, agent=world.cloud.name), "the fair", "lee", NOON, until, version)


@pytest.fixture
async def braked(world: SmallWorld) -> SmallWorld:
    world.has_brakes = True
    await world.begin()
    return world


async def test_a_stopped_line_lets_nothing_begin_until_somebody_starts_it(braked: SmallWorld) -> None:
    store = braked.open_as("api")
    await store.put_on(a_stop())
    held = await braked.run(3)
    assert (held.phase, held.held_by, braked.cloud.sent) == (Phase.PENDING, "line", [])
    assert held.because.startswith("kim stopped the line (incident 4711). Once that is over: version 2 is active")
    assert held.waiting_for == "the line to start"
    await store.take_off(LINE, braked.time, "lee", None)
    assert (await braked.run(20)).phase is Phase.PROMOTED
    assert await kinds(braked) == ["created", "held", "started", "advanced", "advanced", "promoted"]


async def test_a_stop_ends_by_itself_at_the_instant_that_it_names(braked: SmallWorld) -> None:
    until = NOON + DAY
    await braked.open_as("api").put_on(a_stop(until=until))
    assert (await braked.run(3)).waiting_for == "the line to start, at 2026-03-03 12:00 UTC"
    braked.time = until - TICK - timedelta(microseconds=1)
    assert (await braked.run(1)).phase is Phase.PENDING
    assert (await braked.run(1)).phase is Phase.PROGRESSING


async def test_the_line_of_another_project_stops_nothing_here(braked: SmallWorld) -> None:
    await braked.open_as("api").put_on(a_stop(project="shop"))
    assert (await braked.run(20)).phase is Phase.PROMOTED


async def test_a_rollout_under_way_stays_at_its_step_and_goes_back_when_it_is_asked_to(braked: SmallWorld) -> None:
    await reach(braked, 10)
    await braked.open_as("api").put_on(a_stop())
    held = await braked.run(4)
    assert (held.phase, held.step, held.held_by) == (Phase.PROGRESSING, 1, "line")
    await ask(braked, Verb.ABORT)
    assert (await braked.run(2)).phase is Phase.ROLLED_BACK
    assert braked.cloud.routing.weight("2") == 0


async def test_harm_is_rolled_back_at_once_behind_a_stop_and_a_hold(braked: SmallWorld) -> None:
    await reach(braked, 10)
    store = braked.open_as("api")
    await store.put_on(a_stop())
    await store.put_on(a_hold(braked))
    assert (await braked.run(1)).held_by == "line, hold"
    braked.source.bad_from = 1
    before = braked.time
    rollout = await braked.run(5)
    assert (rollout.phase, rollout.ended_at) == (Phase.ROLLED_BACK, before + TICK)


async def test_a_held_agent_keeps_its_version_and_a_canary_that_bakes_at_all_is_not_promoted(
    braked: SmallWorld,
) -> None:
    await reach(braked, 100)
    store = braked.open_as("api")
    await store.put_on(a_hold(braked))
    held = await braked.run(6)
    assert (held.phase, held.step, held.held_by) == (Phase.PROGRESSING, 3, "hold")
    name = braked.cloud.name
    assert held.because.startswith(f"lee holds agent {name} at version 1 (the fair). Once that is over: ")
    known = await store.agent(name)
    assert known is not None
    assert known.stable != "2"
    await store.take_off(Scope(BrakeKind.HOLD, agent=name), braked.time, "lee", None)
    assert (await braked.run(20)).phase is Phase.PROMOTED


async def test_the_held_version_itself_may_go_on(braked: SmallWorld) -> None:
    await braked.open_as("api").put_on(a_hold(braked, version="2"))
    assert (await braked.run(20)).phase is Phase.PROMOTED


async def test_a_process_killed_anywhere_behind_a_stop_leaves_the_history_of_a_calm_one(world: SmallWorld) -> None:
    await world.open_as("api").put_on(a_stop(until=NOON + 3 * TICK))
    calm = SmallWorld(world.open_as, has_brakes=True)
    await calm.begin()
    assert (await calm.run(20)).phase is Phase.PROMOTED
    told = [kind for kind, *_ in await calm.history()]
    assert "rollout.held" in told
    for touch in range(1, 13):
        dying = SmallWorld(world.open_as, f"k-{touch}", deaths=Deaths(touch), has_brakes=True)
        await dying.begin()
        assert (await dying.run(20)).phase is Phase.PROMOTED, touch
        kinds_told = [kind for kind, *_ in await dying.history()]
        assert kinds_told in (told, [kind for kind in told if kind != "rollout.held"]), touch


@dataclass
class Book:
    """What stands, read as often as is counted; it may be away, or answer late."""

    standing: Sequence[Brake] = ()
    reads: int = 0
    is_away: bool = False
    expired: list[Brake] = field(default_factory=list)
    gate: asyncio.Event | None = None  #: An answer waits for it, and tells what stood when it was asked.

    async def brakes(self) -> Sequence[Brake]:
        self.reads += 1
        found, gate = self.standing, self.gate
        if gate is not None:
            await gate.wait()
        if self.is_away:
            raise StoreError("the database is away")
        return found

    async def expire_brakes(self, now: datetime) -> Sequence[Brake]:
        over = [each for each in self.standing if not each.is_on(now)]
        self.standing = [each for each in self.standing if each.is_on(now)]
        self.expired += over
        return over


def facts_of(book: Book, metrics: Metrics | None = None, patience: float = PATIENCE) -> BrakeFacts:
    return BrakeFacts(book, metrics or Metrics("test"), timedelta(seconds=patience))  # type: ignore[arg-type]


async def test_many_ticks_of_one_second_share_one_reading() -> None:
    book = Book((a_stop(),))
    facts = facts_of(book)
    found = await asyncio.gather(*(facts.standing(NOON + timedelta(milliseconds=each)) for each in range(50)))
    assert ({tuple(each) for each in found}, book.reads) == ({(a_stop(),)}, 1)
    await facts.standing(NOON + timedelta(milliseconds=999))
    assert book.reads == 1
    book.standing = ()
    assert await facts.standing(NOON + timedelta(seconds=1)) == (), "a stop is seen within a second without a ring"
    assert book.reads == 2


async def test_what_was_read_last_stands_while_the_database_is_away_and_nobody_hammers_it() -> None:
    book = Book((a_stop(),))
    facts = facts_of(book)
    await facts.standing(NOON)
    book.is_away = True
    later = NOON + timedelta(minutes=1)
    assert await facts.standing(later) == (a_stop(),)
    assert await facts.standing(later + timedelta(milliseconds=500)) == (a_stop(),)
    assert book.reads == 2
    with pytest.raises(StoreError):
        await facts.refresh(later)
    assert facts.last == (a_stop(),)


async def test_a_tick_does_not_wait_for_a_reading_that_hangs_where_an_older_one_is_there() -> None:
    book = Book((a_stop(),))
    facts = facts_of(book, patience=0.01)
    await facts.standing(NOON)
    book.gate = asyncio.Event()
    assert await facts.standing(NOON + DAY) == (a_stop(),)
    await facts.aclose()


async def test_nothing_is_known_before_the_first_reading() -> None:
    book = Book(is_away=True)
    with pytest.raises(StoreError):
        await facts_of(book).standing(NOON)


async def test_a_reading_from_before_a_change_is_not_taken_for_one_from_after_it() -> None:
    book = Book(gate=asyncio.Event())
    facts = facts_of(book)
    early = asyncio.create_task(facts.standing(NOON))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (book.reads, book.gate is not None) == (1, True)
    gate, book.gate, book.standing = book.gate, None, (a_stop(),)
    facts.forget()
    assert await facts.standing(NOON) == (a_stop(),)
    assert gate is not None
    gate.set()
    assert await early == (a_stop(),)
    assert facts.last == (a_stop(),)


async def test_what_is_over_is_ended_and_shown() -> None:
    metrics = Metrics("test")
    book = Book((a_stop(until=NOON + TICK), a_stop(project="shop")))
    facts = facts_of(book, metrics)
    await facts.refresh(NOON)
    shown = metrics.render("")[0].decode()
    assert 'foundry_rollouts_line_stopped{project=""} 1.0' in shown
    await facts.refresh(NOON + TICK)
    assert [each.until for each in book.expired] == [NOON + TICK]
    shown = metrics.render("")[0].decode()
    assert 'foundry_rollouts_line_stopped{project=""}' not in shown
    assert 'foundry_rollouts_line_stopped{project="shop"} 1.0' in shown
    assert "foundry_rollouts_agents_held 0.0" in shown


async def test_a_ring_for_all_makes_a_replica_read_what_stands_at_once(world: SmallWorld) -> None:
    world.time = clock.now()
    book = Book()
    facts = facts_of(book)
    scheduler = a_replica(world, world.open_as("first"), facts)
    scheduler.start()
    await until(lambda: book.reads > 0 and not scheduler._tasks)
    book.standing = (a_stop(clock.now()),)
    facts._read_at = clock.now() + timedelta(hours=1)  # nothing but the ring makes it old
    scheduler.hear(("support-agent",))
    assert facts._read_at is not None, "that one agent is due says nothing of stops"
    scheduler.hear(())
    await until(lambda: len(facts.last) == 1)
    await scheduler.stop()
