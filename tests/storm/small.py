"""A small world in bad weather: replicas that can be stopped between any two touches, and a cloud that misbehaves.

The scheduler, the store and everything between are the real ones; only the cloud, the source and the time are small.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import literal

from builders import NOON, a_rollout
from databases import a_sqlite_database
from fakes import FakePolicies
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.health import JobHealth
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.scheduler import Intervals, Scheduler
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal, StoreError
from foundry_rollouts.ports import AgentKnown, Lease, Record, World
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.tables import UTCDateTime
from foundry_rollouts.telemetry import Metrics
from small_world import TICK, KilledError, SmallCloud, SmallSource

#: How much sooner a wait is over, and up to how many seconds of it.
HASTE, LONGEST_HASTE = 40, 2.0
#: What arrives later than this is drift to us, by the promise that docs/reliability.md makes.
FORGOTTEN_AFTER = {"late": timedelta(minutes=50), "twice": timedelta(minutes=5)}
AWAY = "the database is away"
#: Where a replica may be stopped, killed or refused.
TOUCHES = {
    *("beat", "hand_over_some", "claim_due", "claim", "renew", "release", "open_intent", "drop_intent", "record"),
    *("intent", "queue", "rest", "standing", "evidence", "commands", "agent", "version", "route", "disable"),
}


class HastyLoop(asyncio.SelectorEventLoop):
    """A loop in which short waits are over soon: nobody waits twenty real seconds for a read back. Limits stay."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        hasty = delay / HASTE if delay <= LONGEST_HASTE else delay
        return super().call_later(hasty, callback, *args, context=context)


class Fate(StrEnum):
    """What becomes of the next PATCH."""

    FINE = "fine"
    REFUSED = "refused"
    LOST = "lost"  #: Done, but the answer never came.
    LATE = "late"  #: No answer, and done some time later.
    TWICE = "twice"  #: Done now, and once more some time later.


@dataclass
class StormyCloud(SmallCloud):
    """A small cloud in which each PATCH has a fate; what is ``late`` is applied when the storm says so."""

    fates: list[Fate] = field(default_factory=list)
    late: list[tuple[datetime, Routing, Fate]] = field(default_factory=list)
    now: Callable[[], datetime] = lambda: NOON

    async def route(self, agent: str, routing: Routing) -> bool:
        fate = self.fates.pop(0) if self.fates else Fate.FINE
        if fate is Fate.REFUSED:
            raise CloudError("agents.patch", Refusal(503, "unavailable", "not now"))
        if fate in {Fate.LATE, Fate.TWICE}:
            self.late.append((self.now(), routing, fate))
        if fate is not Fate.LATE:
            await super().route(agent, routing)
        if fate in {Fate.LOST, Fate.LATE}:
            raise CloudError("agents.patch", Refusal(None, "timeout", "no answer"))
        return True

    def arrive(self) -> None:
        """Apply the oldest change that is late, unless it is so late that the cloud has forgotten it."""
        sent_at, routing, fate = self.late.pop(0)
        if self.now() - sent_at < FORGOTTEN_AFTER[fate]:
            self.apply(routing)

    def apply(self, routing: Routing) -> None:
        """Change the weights without a question, as a late PATCH or another hand does."""
        self.routing = replace(routing, is_open=self.routing.is_open)


@dataclass
class Gate:
    """Stops one replica before and after each touch until it may go on."""

    is_open: bool = False
    is_dead: bool = False
    at: str = ""  #: The touch before which the replica stands; empty behind one.
    passed: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _go: asyncio.Event = field(default_factory=asyncio.Event)

    async def stand(self, touch: str) -> None:
        self.at = touch
        if not self.is_open and not self.is_dead:
            self._arrived.set()
            await self._go.wait()
            self._go.clear()
        self.passed += 1
        if self.is_dead:
            raise KilledError

    async def let_pass(self, work: asyncio.Task[None]) -> None:
        """Let the replica go on to the next stop, or to the end of its work."""
        self._arrived.clear()
        self._go.set()
        arrived = asyncio.ensure_future(self._arrived.wait())
        await asyncio.wait({arrived, work}, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()


@dataclass
class Watch:
    """The clock of one replica: it may be wrong by seconds."""

    world: "StormyWorld"
    skew: timedelta = timedelta()

    def __call__(self) -> datetime:
        return self.world.time + self.skew


@dataclass
class Replica:
    """One replica with at most one piece of work in hand."""

    name: str
    gate: Gate
    scheduler: Scheduler
    watch: "Watch"
    work: asyncio.Task[None] | None = None

    async def begin(self, job: str) -> None:
        """Begin a job of the scheduler and stop at its first touch."""
        self.gate.at = ""
        self.work = asyncio.create_task(self._run(getattr(self.scheduler, f"_{job}")))
        await self.gate.let_pass(self.work)

    async def step(self) -> None:
        if self.work:
            await self.gate.let_pass(self.work)
            if self.work.done():
                self.work = None

    async def finish(self) -> None:
        while self.work:
            await self.step()

    async def leave(self) -> None:
        """Stop in order, as on SIGTERM: say so, and hand over what it has."""
        await self.finish()
        self.gate.is_open = True
        self.scheduler._pool.close()
        await self.scheduler._claims.membership.leave()
        with suppress(StoreError):
            await self.scheduler._ticker.offline.flush()
        await self.scheduler._pool.release_all(self.scheduler._now())

    async def die(self) -> None:
        """End at once; what it would do next is never done."""
        self.gate.is_dead = True
        await self.finish()

    async def _run(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await job()
            while tasks := self.scheduler._tasks:
                await asyncio.wait(tasks)
        except (KilledError, StoreError, CloudError):
            return


@dataclass
class Stopped:
    """Hands every call on to ``inner``, by way of the gate."""

    inner: Any
    gate: Gate
    reach: Callable[[str, tuple[Any, ...]], Coroutine[Any, Any, None]]
    before: Callable[[str], None]
    after: Callable[[str], None]

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.inner, name)
        if not callable(real) or name in {"agents", "sessions"}:
            return real

        async def touch(*args: Any, **kwargs: Any) -> Any:
            if name not in TOUCHES:
                self.before(name)
                return await real(*args, **kwargs)
            await self.reach(name, args)
            await self.gate.stand(name)
            self.before(name)
            answer = await real(*args, **kwargs)
            self.after(name)
            await self.gate.stand("")
            return answer

        return touch


@dataclass
class StormyWorld:
    """One agent, one rollout, and everything that may go wrong around them."""

    open_as: Callable[[str], SqlStore]
    time: datetime
    rollout: Any = field(default_factory=a_rollout)
    is_database_away: bool = False
    do_heartbeats_stall: bool = False
    losing_answers: int = 0  #: So many of the next writes are done, and their answer is lost.
    born: int = 0
    replicas: list[Replica] = field(default_factory=list)
    on_route: Callable[[Replica, Routing], Coroutine[Any, Any, None]] | None = None
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.cloud = StormyCloud(self.rollout.agent, now=self.now)
        self.source = SmallSource(self.cloud)
        self.reader = self.open_as("reader")

    def now(self) -> datetime:
        return self.time

    def elapsed(self) -> float:
        return (self.time - NOON).total_seconds()

    async def begin(self, replicas: int) -> None:
        """Put an agent whose stable version is 1 and a pending rollout of version 2 into the store."""
        agent, store = self.rollout.agent, self.open_as("begin")
        known = AgentKnown(agent, latest="2", latest_status="active", routing=self.cloud.routing, policy="support")
        await store.see_agents([known], self.time)
        event = Event(f"{self.rollout.id}:1", self.time, "rollout.created", agent, "version 2 is new", self.rollout.id)
        await store.create(self.rollout, event, None)
        lease = await store.claim(agent, self.time)
        assert isinstance(lease, Lease)
        await store.record(lease, Record(stable="1", newest="2"))
        await store.release(lease)
        for _ in range(replicas):
            self.replicas.append(self.a_replica())

    def a_replica(self, name: str | None = None) -> Replica:
        """Return a new replica; under the name of an earlier one it may have that one's leases."""
        self.born += name is None
        name, gate = name or f"replica-{self.born}", Gate()
        metrics = Metrics("test")
        made: list[Replica] = []

        async def reach(touch: str, args: tuple[Any, ...]) -> None:
            if touch == "route" and self.on_route and not gate.is_dead:
                await self.on_route(made[0], args[1])

        watch, real = Watch(self), self.open_as(name)
        real.heartbeats.clock = lambda _, ago: literal(self.time - ago, UTCDateTime)
        store: Any = Stopped(real, gate, reach, self._refuse_store, self._lose_answer)
        cloud: Any = Stopped(self.cloud, gate, reach, lambda _: None, lambda _: None)
        policies: Any = FakePolicies((self.rollout.policy,))
        world = World(cloud=cloud, sessions=cloud, store=store, policies=policies, sources=(self.source,))
        ticker = Ticker(world, metrics, watch, TICK, OfflineGuard(world, metrics, watch))
        discovery = Discovery(
            world,
            metrics,
            LeasePool(store, self.elapsed),
            watch,
            lambda now: f"r-{now.timestamp():.0f}",
            listings=ticker.reads.listings,
        )
        intervals = Intervals(sweep=TICK, discovery=TICK, renewal=TICK, stall_after=3 * TICK, memory=timedelta(days=1))
        made.append(Replica(name, gate, Scheduler(ticker, discovery, JobHealth(), intervals, watch), watch))
        return made[0]

    @property
    def are_clocks_apart(self) -> bool:
        """Whether a replica's clock is wrong."""
        return any(replica.watch.skew for replica in self.replicas)

    def _refuse_store(self, touch: str) -> None:
        if self.is_database_away or (self.do_heartbeats_stall and touch in {"beat", "leave"}):
            raise StoreError(AWAY)

    def _lose_answer(self, touch: str) -> None:
        if self.losing_answers and touch in {"record", "open_intent", "drop_intent", "claim_due"}:
            self.losing_answers -= 1
            self.seen["answers of the database lost"] += 1
            raise StoreError(AWAY)

    async def bury(self, replica: Replica, *, same_name: bool) -> None:
        """Kill a replica where it stands, and put a new one in its place."""
        await replica.die()
        # A process that is no more holds no connection.
        await self.open_as(replica.name).close()
        place = self.replicas.index(replica)
        self.replicas[place] = self.a_replica(replica.name if same_name else None)

    async def leave(self, replica: Replica) -> None:
        """Let a replica stop in order; its agents are for the others."""
        self.replicas.remove(replica)
        await replica.leave()
        await self.open_as(replica.name).close()
        self.seen["replicas that left"] += 1

    async def calm(self, rounds: int, turn: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Let every replica work in good weather, until ``turn`` says that all is done."""
        self.is_database_away, self.losing_answers, self.cloud.trouble = False, 0, None
        self.do_heartbeats_stall = False
        self.cloud.fates.clear()
        for replica in self.replicas:
            await replica.finish()
            replica.watch.skew = timedelta()
        while self.cloud.late:
            self.cloud.arrive()
        for _ in range(rounds):
            self.time += timedelta(seconds=10)
            for replica in self.replicas:
                for job in ("renew", "beat", "sweep", "discover"):
                    await replica.begin(job)
                    await replica.finish()
            if await turn():
                return


class Folder(tempfile.TemporaryDirectory[str]):
    """A folder with a database that goes with it."""

    def __init__(self, template: Path) -> None:
        super().__init__()
        self.template = template

    def __enter__(self) -> str:
        return a_sqlite_database(Path(super().__enter__()), self.template)
