"""Notices on both databases: each change once, reminders by the schedule, and no target that delays another."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout, an_event
from foundry_rollouts.core.model.acknowledgement import Acknowledgement, event_of
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.notify.announcer import Announcer, Speaker
from foundry_rollouts.notify.dispatcher import MARGIN, UndeliveredError
from foundry_rollouts.notify.everybody import Everybody
from foundry_rollouts.notify.targets import Target
from foundry_rollouts.notify.wording import Words
from foundry_rollouts.ports import Audience, Lease, Record, TargetState
from foundry_rollouts.store import history
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from patience import PATIENCE
from small_world import Deaths, KilledError, Mortal

OpenStore = Callable[[str], SqlStore]

MINUTE = timedelta(minutes=1)
LIMIT = timedelta(seconds=10)


@dataclass
class Ear:
    """A target that hears, refuses, or hangs, and remembers what it heard."""

    limit: timedelta = LIMIT
    said: list[tuple[str, str]] = field(default_factory=list)  #: Key and title.
    is_dead: bool = False
    hangs: bool = False
    asked: int = 0

    async def say(self, words: Words, key: str) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_dead:
            raise UndeliveredError("it did not take the message")
        self.said.append((key, words.title))

    async def aclose(self) -> None:
        """Nothing is open."""

    @property
    def titles(self) -> list[str]:
        return [title for _, title in self.said]


@dataclass
class Room:
    """A store whose events are news, targets, and a clock by hand."""

    store: SqlStore
    ears: dict[str, Ear]
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=lambda: Metrics("test"))
    time: datetime = NOON
    count: int = 0
    leases: dict[str, Lease] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store.audience = Audience.TARGETS

    def announcer(self, box: Any = None, ears: Any = None) -> Announcer:
        speakers = [
            Speaker(Target(name, f"json://{name}", **self.targets.get(name, {})), ear)
            for name, ear in (ears or self.ears).items()
        ]
        day = timedelta(hours=24)
        return Announcer(box or self.store, speakers, self.metrics, lambda: self.time, day, lambda: 1.0)

    async def happens(self, kind: str, agent: str = "support-agent", rollout: str | None = None, **more: Any) -> None:
        self.count += 1
        event = an_event(id=f"e-{self.count}", kind=kind, agent=agent, rollout=rollout, at=self.time, **more)
        if agent not in self.leases:
            lease = await self.store.claim(agent, self.time)
            assert lease is not None
            self.leases[agent] = lease
        await self.store.record(self.leases[agent], Record(event=event))

    async def happen(self, *kinds: str, agents: Sequence[str]) -> None:
        """Let so much happen to each of many agents at once."""
        async with self.store._database.writing() as connection:
            for agent in agents:
                for kind in kinds:
                    self.count += 1
                    event = an_event(id=f"e-{self.count}", kind=kind, agent=agent, rollout=None, at=self.time)
                    await history.append(connection, event, audience=self.store.audience)

    async def begins(self, rollout: str = "r-1", agent: str = "support-agent", **but: Any) -> None:
        created = an_event(id=f"{rollout}:1", agent=agent, rollout=rollout, at=self.time)
        await self.store.create(a_rollout(id=rollout, agent=agent, **but), created, None)

    async def after(self, **span: float) -> list[str]:
        """Let time pass, drain, and return what the only target heard by then."""
        self.time += timedelta(**span)
        await self.announcer().drain()
        return next(iter(self.ears.values())).titles


@pytest.fixture
def room(store: SqlStore) -> Room:
    return Room(store, {"team": Ear()})


async def test_each_change_of_state_is_said_once_and_in_order(room: Room) -> None:
    await room.begins()
    for step, kind in enumerate(("rollout.started", "rollout.advanced", "rollout.promoted"), start=1):
        await room.happens(kind, rollout="r-1", step=step)
    assert await room.after() == [
        "[info] support-agent version 2: created",
        "[info] support-agent version 2: started",
        "[info] support-agent version 2: advanced",
        "[info] support-agent version 2: promoted",
    ]
    assert len(await room.after(days=3)) == 4


async def test_what_ended_badly_is_said_again_until_somebody_acknowledges_it(room: Room) -> None:
    await room.begins(phase=Phase.ROLLED_BACK)
    await room.happens("rollout.rolled_back", rollout="r-1", step=1)
    assert len(await room.after()) == 2
    counts = [len(await room.after(minutes=minutes)) for minutes in (14, 1, 44, 1, 179, 1, 20 * 60, 24 * 60)]
    assert counts == [2, 3, 3, 4, 4, 5, 6, 7]
    known = Acknowledgement("ann", room.time)
    await room.store.acknowledge("r-1", known, event_of(await room.store.rollout("r-1"), known))
    assert (await room.after())[-1] == "[info] support-agent version 2: acknowledged"
    assert len(await room.after(days=3)) == 8


async def test_a_storm_of_a_thousand_changes_over_a_hundred_agents_says_what_the_schedule_says(room: Room) -> None:
    agents = [f"support-{number:03}" for number in range(100)]
    for _ in range(5):
        await room.happen("agent.unreadable", "agent.readable", agents=agents)
        await room.after(seconds=10)
    assert room.count == 1000
    # The first of either state at once; everything else is merged.
    assert len(await room.after()) == 200
    # Both states of every agent happened again since: each is said once more, when its time has come, if it lasts.
    # What is over, being unreadable, is said no more.
    titles = Counter((await room.after(minutes=15))[200:])
    assert titles == Counter(f"[info] {agent}: readable (reminder)" for agent in agents)
    assert len(await room.after(days=2)) == 300
    # Unreadable for good: at once, after 15 minutes, and so on.
    await room.happen("agent.unreadable", agents=agents)
    counts = [len(await room.after(minutes=minutes)) - 300 for minutes in (0, 10, 5)]
    assert counts == [100, 100, 200]


async def test_a_target_that_is_dead_or_hangs_delays_no_other(store: SqlStore) -> None:
    ears = {"dead": Ear(is_dead=True), "team": Ear(), "stuck": Ear(hangs=True)}
    room = Room(store, ears)
    draining = asyncio.create_task(Everybody((room.announcer(),), timedelta(milliseconds=10)).drain())
    for number in range(5):
        await room.happens("agent.drifted", f"agent-{number}")
        async with asyncio.timeout(PATIENCE):
            while len(ears["team"].said) <= number:
                await asyncio.sleep(0.01)
                if draining.done():
                    draining = asyncio.create_task(room.announcer().drain())
    states = await states_when(store, room, lambda states: states["team"].pending == 0)
    draining.cancel()
    await asyncio.gather(draining, return_exceptions=True)
    assert ears["stuck"].said == []
    assert (states["dead"].pending, states["dead"].trouble) == (5, "it did not take the message")
    assert states["stuck"].pending == 5


async def test_a_dead_target_gets_all_of_it_when_it_is_back_and_what_is_too_old_is_given_up(room: Room) -> None:
    ear = room.ears["team"]
    ear.is_dead = True
    await room.happens("agent.drifted", "a")
    assert await room.after() == []
    await room.happens("agent.drifted", "b")
    assert await room.after(hours=1) == []
    ear.is_dead = False
    assert await room.after(minutes=6) == ["[warning] a: drifted", "[warning] b: drifted"]
    ear.is_dead = True
    await room.happens("agent.drifted", "c")
    for hours in (0, 12, 13):
        await room.after(hours=hours)
    (state,) = await room.store.target_states(room.time)
    assert (state.pending, state.given_up) == (0, 1)
    text = room.metrics.render()[0].decode()
    assert 'notify_deliveries_total{outcome="given_up",target="team"} 1.0' in text
    assert 'notify_deliveries_total{outcome="delivered",target="team"} 2.0' in text


async def test_what_is_not_urgent_waits_for_the_end_of_quiet_hours_and_a_rollback_does_not(store: SqlStore) -> None:
    room = Room(store, {"team": Ear()}, {"team": {"quiet_text": "11:00-14:00 UTC"}})
    await room.begins()
    await room.happens("rollout.started", rollout="r-1", step=1)
    await room.happens("rollout.rolled_back", rollout="r-1", step=1)
    rolled_back = "[critical] support-agent version 2: rolled back"
    assert await room.after() == [rolled_back]
    assert (await room.store.target_states(room.time))[0].pending == 0
    heard = await room.after(hours=1, minutes=59)
    assert set(heard) == {rolled_back, f"{rolled_back} (reminder)"}
    held = (await room.after(minutes=1))[len(heard) :]
    assert held == [
        "[info] support-agent version 2: created",
        "[info] support-agent version 2: started",
    ]


async def test_an_announcer_killed_at_any_touch_loses_nothing_and_repeats_under_the_same_key(
    open_store: OpenStore,
) -> None:
    room, touch, is_over, keys = Room(open_store("replica-a"), {"team": Ear()}), 0, False, Counter[str]()
    while not is_over:
        touch += 1
        for is_before in (True, False):
            deaths = Deaths(touch, is_before=is_before, is_final=True)
            agent, ear = f"agent-{touch}-{is_before}", Ear()
            await room.happens("agent.drifted", agent)
            await room.happens("agent.pinned", agent)
            for _ in range(3):
                deaths.is_dead = False
                box, ears = Mortal(room.store, deaths), {"team": MortalEar(Mortal(ear, deaths))}
                with suppress(KilledError):
                    await room.announcer(box, ears).drain()
                room.time += LIMIT + MARGIN
            heard = dict.fromkeys(title for _, title in ear.said)
            assert list(heard) == [f"[warning] {agent}: drifted", f"[info] {agent}: pinned"], (touch, is_before)
            keys.update(key for key, _ in ear.said)
            assert len({key for key, _ in ear.said}) == 2
            is_over = deaths.at is not None
    assert touch > 5
    assert max(keys.values()) == 2


async def states_when(
    store: SqlStore, room: Room, are_as_wanted: Callable[[dict[str, TargetState]], bool]
) -> dict[str, TargetState]:
    async with asyncio.timeout(PATIENCE):
        while True:
            states = {state.target: state for state in await store.target_states(room.time)}
            if are_as_wanted(states):
                return states
            await asyncio.sleep(0.01)


@dataclass
class MortalEar:
    """A target that ends the process before or after it heard."""

    inner: Mortal
    limit: timedelta = LIMIT

    async def say(self, words: Words, key: str) -> None:
        await self.inner.say(words, key)

    async def aclose(self) -> None:
        """Nothing is open."""


async def test_replicas_say_each_message_once(open_store: OpenStore) -> None:
    room = Room(open_store("replica-a"), {"team": Ear()})
    for number in range(20):
        await room.happens("agent.drifted", f"agent-{number}")
    replicas = [room.store, open_store("replica-b"), open_store("replica-c")]
    await asyncio.gather(*(room.announcer(each).drain() for each in replicas))
    assert Counter(room.ears["team"].titles) == Counter(f"[warning] agent-{number}: drifted" for number in range(20))


async def test_the_policy_and_the_rules_of_a_target_choose_who_hears(store: SqlStore) -> None:
    room = Room(store, {"team": Ear(), "sales": Ear()}, {"sales": {"policies": ("sales-*",)}})
    await room.begins("r-1", "support-agent")
    await room.begins("r-2", "sales-agent", policy=a_policy(name="sales-eu"))
    await room.begins("r-3", "other-agent", policy=a_policy(notify=("sales",)))
    await room.announcer().drain()
    assert room.ears["team"].titles == [
        "[info] support-agent version 2: created",
        "[info] sales-agent version 2: created",
    ]
    assert room.ears["sales"].titles == [
        "[info] sales-agent version 2: created",
        "[info] other-agent version 2: created",
    ]


async def test_what_was_for_a_target_that_is_gone_is_forgotten_in_the_end(room: Room) -> None:
    await room.happens("agent.drifted")
    await room.after()
    gone = room.announcer(ears={"other": Ear()})
    await room.happens("agent.unreadable")
    room.time += timedelta(days=31)
    await gone.drain()
    assert [state.target for state in await room.store.target_states(room.time)] == ["other"]


async def test_a_test_message_goes_out_at_any_hour_or_says_why_not(store: SqlStore) -> None:
    room = Room(store, {"team": Ear(), "dead": Ear(is_dead=True)}, {"team": {"quiet_text": "00:00-23:59 UTC"}})
    announcer = room.announcer()
    await announcer.test("team")
    assert room.ears["team"].titles == ["foundry-rollouts: test"]
    with pytest.raises(UndeliveredError, match="target dead: it did not take the message"):
        await announcer.test("dead")
    with pytest.raises(NotFoundError, match="there is no target x; targets: team, dead"):
        await announcer.test("x")
