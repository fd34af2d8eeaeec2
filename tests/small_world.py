"""A world small enough to be killed at every touch: one agent, one source, the real store, a clock by hand."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from builders import NOON, a_policy, a_rollout
from fakes import FakePolicies
from foundry_rollouts.controller.brakes import BrakeFacts
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.incarnation import NO_MARKS, Marks
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging, Margin, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.core.model.sources import HttpConfig, OutcomesConfig, Sources
from foundry_rollouts.errors import CloudError, Refusal, UsageError
from foundry_rollouts.ports import (
    AgentKnown,
    AgentSeen,
    ReadinessChecks,
    SessionSeen,
    SessionStatus,
    Store,
    VersionSeen,
    VersionStatus,
    World,
)
from foundry_rollouts.telemetry import Metrics

TICK = timedelta(seconds=10)
LEASE = timedelta(seconds=30)
#: Calls that change the cloud or the database, leases left out.
WRITING = {"route", "enable", "disable", "put_back", "stop_session", "open_intent", "drop_intent", "record", "wake"}


class KilledError(BaseException):
    """The process ends here; nothing in it may catch this."""


def a_quick_policy(**but: Any) -> Policy:
    """Return the product's rules with a coarse bad line and steps that last one tick."""
    steps = tuple(WeightStep(weight, min=TICK) for weight in (10, 50, 100))
    return a_policy(**{"steps": steps, "judge": Judging(bad=Margin(3, 0.2)), **but})


@dataclass
class SmallCloud:
    """One agent with two active versions; remembers every change that was sent."""

    name: str = "support-agent"
    routing: Routing = field(default_factory=lambda: Routing.of({"1": 100}))
    status: VersionStatus = VersionStatus.ACTIVE
    latest: str = "2"
    sent: list[Routing] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    session_status: SessionStatus = SessionStatus.ACTIVE
    trouble: CloudError | None = None
    deleted: str | None = None
    failed: set[str] = field(default_factory=set)  #: Versions whose build failed.
    marks: Marks = NO_MARKS  #: What tells the agent from another of its name.
    created: dict[str, datetime] = field(default_factory=dict)  #: When each version was created, where that is told.
    contents: dict[str, str] = field(default_factory=dict)  #: The hash of each version's code, where that is told.
    unreadable: str | None = None
    serves: tuple[str, ...] = ()
    declares: tuple[str, ...] | None = None
    settings: str = ""
    after_route: str | None = None  #: What a change of the weights leaves of the settings.
    active: set[str] = field(default_factory=set)  #: Versions that are active whatever the status of the others.

    async def agents(self) -> AsyncIterator[AgentSeen]:
        yield await self.agent(self.name)

    async def agent(self, name: str) -> AgentSeen:
        self._fail()
        status = VersionStatus.FAILED if self.latest in self.failed else self.status
        latest = VersionSeen(self.latest, status, self.created.get(self.latest))
        marks = replace(self.marks, versions=((latest.version, latest.created_at),))
        routing = Routing(()) if self.unreadable else self.routing
        return AgentSeen(name, routing, latest, marks, self.unreadable, self.serves, self.settings)

    async def version(self, agent: str, version: str) -> VersionSeen:
        self._fail()
        if not version.isdigit():
            raise UsageError(f"{version}: no such thing can exist")
        if int(version) > int(self.latest) or version == self.deleted:
            raise CloudError("versions.get", Refusal(404, "not_found", f"version {version} of {agent} not found"))
        status = VersionStatus.ACTIVE if version in self.active else self.status
        status = VersionStatus.FAILED if version in self.failed else status
        created = self.created.get(version)
        content = self.contents.get(version)
        return VersionSeen(version, status, created, "the wheel is missing", protocols=self.declares, content=content)

    async def versions(self, agent: str) -> Sequence[VersionSeen]:
        self._fail()
        numbers = [str(number) for number in range(int(self.latest), 0, -1) if str(number) != self.deleted]
        return [await self.version(agent, number) for number in numbers]

    async def route(self, agent: str, routing: Routing) -> bool:
        self._fail()
        if self.deleted and routing.weight(self.deleted):
            raise CloudError(
                "agents.route", Refusal(400, "invalid_request_error", f"version {self.deleted} is not there")
            )
        self.sent.append(routing)
        self.routing = replace(routing, is_open=self.routing.is_open)
        self.settings = self.settings if self.after_route is None else self.after_route
        return True

    async def put_back(self, agent: str, routing: Routing, before: str, after: str) -> tuple[tuple[str, ...], ...]:
        self._fail()
        assert (routing, after) == (self.routing, self.settings)
        self.settings = before
        return ("protocols",), ()

    async def enable(self, agent: str) -> None:
        self.routing = replace(self.routing, is_open=True)

    async def disable(self, agent: str) -> None:
        self._fail()
        self.routing = replace(self.routing, is_open=False)

    async def sessions(self, agent: str) -> AsyncIterator[SessionSeen]:
        for version in ("1", "2"):
            is_stopped = f"session-{version}" in self.stopped
            status = SessionStatus.IDLE if is_stopped else self.session_status
            yield SessionSeen(f"session-{version}", version, NOON, status)

    async def stop_session(self, agent: str, session: str) -> None:
        self.stopped.append(session)

    def _fail(self) -> None:
        if self.trouble:
            raise self.trouble


@dataclass
class SmallSource:
    """Thirty calls on each version a window; the canary fails from some weight on."""

    cloud: SmallCloud
    bad_from: int = 101
    name: str = "probe"
    calls: int = 30
    released: list[str] = field(default_factory=list)

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        failures = self.calls * 6 // 10 if self.cloud.routing.weight(rollout.canary) >= self.bad_from else 0
        canary = Counts(calls=self.calls, failures=failures, causes=(("HTTP 500", failures),) if failures else ())
        return (Measurement(self.name, window, stable=Counts(calls=self.calls), canary=canary),)

    async def release(self, rollout: str) -> None:
        self.released.append(rollout)

    async def close(self) -> None:
        return


@dataclass
class CallersSource(SmallSource):
    """What callers report: nobody calls stable once the canary has everything, and then the canary dies for good."""

    name: str = "outcomes"
    is_dead: bool = False

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        has_all = self.cloud.routing.weight(rollout.canary) == 100
        self.is_dead = self.is_dead or (has_all and self.bad_from <= 100)
        failures = self.calls if self.is_dead or self.bad_from == 1 else 0
        canary = Counts(calls=self.calls, failures=failures, causes=(("HTTP 500", failures),) if failures else ())
        stable = Counts() if has_all else Counts(calls=self.calls)
        return (Measurement(self.name, window, stable=stable, canary=canary),)


def a_callers_policy(**but: Any) -> Policy:
    """Return the quick policy that watches what callers report, and nothing else."""
    sources = Sources(probe=None, logs=None, outcomes=OutcomesConfig())
    return a_quick_policy(sources=sources, gates=(Gate(GateKind.ERROR_RATE, ("outcomes",)),), **but)


COSTS = HttpConfig("http://127.0.0.1/{version}", "/calls", "/failures", every=TICK, values=(("cost", "/cost"),))


def a_costly_policy() -> Policy:
    """Return the quick policy that also holds a number within bounds, twice in a row."""
    costs = Gate(GateKind.VALUE, ("http",), bounds=Bounds("cost", max=5, at_most=1.2, windows=2))
    errors = Gate(GateKind.ERROR_RATE, ("probe",))
    return a_quick_policy(sources=Sources(logs=None, http=COSTS), gates=(errors, costs))


@dataclass
class CostlySource(SmallSource):
    """Also tells, a delay late, what a call costs: the canary's grows until it lies out of bounds."""

    cost: float = 4

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        calls = await super().measure(rollout, window)
        late = Window(window.start - COSTS.delay, window.end - COSTS.delay)
        self.cost += 0.5
        stable, canary = (Counts(values=(("cost", cost),)) for cost in (4.0, self.cost))
        return (*calls, Measurement("http", late, stable, canary))


@dataclass
class Mortal:
    """Hands every call on to ``inner``, and ends the process before or after call number ``dies_at`` of all."""

    inner: Any
    deaths: "Deaths"

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.inner, name)
        if not callable(real) or name in {"agents", "sessions"}:
            return real

        async def touch(*args: Any, **kwargs: Any) -> Any:
            touch = self.deaths.begin()
            if name in WRITING:
                self.deaths.writing.append(touch)
            answer = await real(*args, **kwargs)
            self.deaths.end(touch)
            return answer

        return touch


@dataclass
class Deaths:
    """Counts touches and kills at one of them; None: nobody dies."""

    at: int | None = None
    is_before: bool = True
    touches: int = 0
    writing: list[int] = field(default_factory=list)  #: Those that change something.
    is_final: bool = False  #: Whatever else was under way touches nothing any more, either.
    is_dead: bool = False

    def begin(self) -> int:
        """Return the number of the touch that begins."""
        self.touches += 1
        self._pass_by(self.touches, is_before=True)
        return self.touches

    def end(self, touch: int) -> None:
        self._pass_by(touch, is_before=False)

    def _pass_by(self, touch: int, *, is_before: bool) -> None:
        if touch == self.at and is_before == self.is_before:
            self.at, self.is_dead = None, self.is_final
            raise KilledError
        if self.is_dead:
            raise KilledError


@dataclass
class SmallWorld:
    """Everything around one rollout of version 2; ``open_as`` opens the database as a replica of some name."""

    open_as: Callable[[str], Store]
    id: str = "r-1"
    cloud: SmallCloud = field(default_factory=SmallCloud)
    bad_from: int = 101
    policy: Policy = field(default_factory=a_quick_policy)
    deaths: Deaths = field(default_factory=Deaths)
    time: datetime = NOON
    replicas: int = 0
    source: SmallSource = field(init=False)
    watched_by: type[SmallSource] = SmallSource
    waits_for_stops: bool = False  #: The end of the canary's sessions belongs to the story.
    ready: ReadinessChecks | None = None  #: Checks whether sandboxes become ready.
    people: Callable[["SmallWorld"], Awaitable[None]] | None = None  #: What people do before each tick.
    has_brakes: bool = False  #: People may stop the line and hold agents.

    def __post_init__(self) -> None:
        self.cloud.name = f"support-{self.id}"
        self.source = self.watched_by(self.cloud, self.bad_from)

    async def begin(self) -> None:
        """Put the agent and a pending rollout into the store."""
        store = self.open_as("begin")
        name = self.cloud.name
        known = AgentKnown(name, latest="2", latest_status="active", routing=self.cloud.routing, policy="support")
        await store.see_agents([known], self.time)
        rollout = a_rollout(id=self.id, agent=name, policy=self.policy, event_count=1)
        event = Event(f"{rollout.id}:1", self.time, "rollout.created", name, "version 2 is new", rollout.id)
        await store.create(rollout, event, None)

    def ticker(self) -> tuple[Store, Ticker]:
        """Return a new replica, as after a restart."""
        self.replicas += 1
        store: Any = Mortal(self.open_as(f"replica-{self.replicas}"), self.deaths)
        cloud: Any = Mortal(self.cloud, self.deaths)
        policies, sources = FakePolicies((self.policy,)), (self.source,)
        metrics = Metrics("test")
        brakes = BrakeFacts(store, metrics, patience=timedelta(minutes=2)) if self.has_brakes else None
        world = World(cloud, cloud, store, policies, sources, ready=self.ready, brakes=brakes)
        return store, Ticker(world, metrics, self.now, TICK, OfflineGuard(world, metrics, self.now))

    def now(self) -> datetime:
        return self.time

    async def run(self, ticks: int = 40) -> Rollout:
        """Tick until the rollout ends; a replica that dies is followed by another when its lease is over."""
        store, ticker = self.ticker()
        reader = self.open_as("reader")
        for _ in range(ticks):
            rollout = await reader.rollout(self.id)
            is_over = rollout.phase.is_final and not (self.waits_for_stops and rollout.owes_stops)
            if is_over and await reader.intent(self.cloud.name) is None:
                break
            if self.people is not None:
                await self.people(self)
            self.time += TICK
            try:
                for lease in await store.claim_due(self.time, 10):
                    await ticker.tick(lease)
                    await store.release(lease)
            except KilledError:
                self.time += LEASE
                store, ticker = self.ticker()
            except CloudError:
                self.time += LEASE
        return await reader.rollout(self.id)

    async def history(self) -> list[tuple[str, int | None, dict[str, int] | None, str]]:
        """Return what the history tells, without the times, and without the odds that depend on them."""
        events = await self.open_as("reader").history(self.id)
        return [(e.kind, e.step, e.weights, re.sub(r"evidence .*", "evidence", e.because)) for e in events]
