"""The machine behind the random storms: what may happen, what has to hold after each step, and what after calm."""

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import select

from builders import NOON, a_rollout
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase as RolloutPhase
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.ports import Intent
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.tables import leases
from small_world import LEASE, TICK, CallersSource, a_callers_policy, a_quick_policy
from storm.small import Fate, HastyLoop, Replica, StormyWorld

#: The steps of the plan: enough of them that a storm does not outlast its rollout.
WEIGHTS = (5, 10, 20, 40, 60, 80, 100)
#: How many replicas there are at most.
MOST_REPLICAS = 4
#: How many rounds of good weather every rollout may take to come right.
CALM_ROUNDS = 25

#: What may change around the replicas, and how.
CHANGES = st.one_of(
    st.tuples(st.just("time"), st.sampled_from([1, 11, 31, 31, 150])),
    st.tuples(st.just("patch"), st.sampled_from(list(Fate))),
    st.tuples(st.just("late"), st.none()),
    st.tuples(
        st.just("hand"),
        st.sampled_from([Routing.of(w) for w in ({"1": 30, "2": 70}, {"1": 100}, {"2": 100}, {LATEST: 100})]),
    ),
    st.tuples(st.just("canary"), st.booleans()),
    st.tuples(st.just("database"), st.sampled_from([True, False, False])),
    st.tuples(st.just("answer"), st.none()),
    st.tuples(st.just("heartbeats"), st.sampled_from([True, False])),
    st.tuples(st.just("clocks"), st.sampled_from([-3, 0, 3])),
)
#: How often another hand may change the routing in one storm.
MOST_HANDS = 2
AT = st.integers(0, 2)
DONE = {"started", "advanced", "paused", "resumed", "restored", "held", "created", "declined", "harmed", "stepped_back"}
ENDS = {"promoted", "rolled_back", "disabled", "superseded", "failed", "aborted"}


class Storm(RuleBasedStateMachine):
    """One agent with one rollout, two or three replicas, and the weather."""

    tally: ClassVar[Counter[str]] = Counter()
    new_database: ClassVar[Callable[[], AbstractContextManager[str]]]

    def __init__(self) -> None:
        super().__init__()
        self.loop = HastyLoop()
        self.loop.set_exception_handler(lambda *_: None)
        self.stack = ExitStack()
        url = self.stack.enter_context(type(self).new_database())
        self.opened: list[SqlStore] = []
        self.open_as = cache(partial(self._open, url))
        self.told: tuple[Event, ...] = ()
        self.before: Rollout | None = None
        self.accepted: dict[str, Command] = {}
        self.refused: set[str] = set()
        self.hands = 0
        self.broken: list[
            str
        ] = []  #: What a replica did against the laws; raised in it, it would be caught as a crash.

    def _open(self, url: str, replica: str) -> SqlStore:
        self.opened.append(SqlStore(url, replica=replica, lease=LEASE, limit=timedelta(minutes=2)))
        return self.opened[-1]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            if self.before is not None:
                self.run(self.come_right())
        finally:
            for each in self.world.replicas if self.before else ():
                self.run(each.die())
            for store in self.opened:
                self.run(store.close())
            self.loop.close()
            self.stack.close()

    # --- what happens

    @initialize(
        replicas=st.integers(2, 3), on_drift=st.sampled_from(list(OnDrift)), is_bad=st.booleans(), is_told=st.booleans()
    )
    def begin(self, replicas: int, on_drift: OnDrift, is_bad: bool, is_told: bool = False) -> None:
        """Begin a rollout that the probe watches, or callers alone, who have nothing to compare with at 100."""
        plain = (a_callers_policy if is_told else a_quick_policy)(on_drift=on_drift)
        policy = replace(plain, steps=tuple(WeightStep(w, min=TICK) for w in WEIGHTS))
        rollout = a_rollout(agent="support-agent", policy=policy, event_count=1)
        self.world = StormyWorld(self.open_as, NOON, rollout)
        if is_told:
            self.world.source = CallersSource(self.world.cloud)
        self.on_drift = on_drift
        self.world.on_route = self.hold_to_the_laws
        self.run(self.world.begin(replicas))
        self.weather_canary(is_bad)
        self.before = self.run(self.world.reader.rollout(rollout.id))

    @rule(
        at=AT,
        job=st.sampled_from(["sweep", "sweep", "sweep", "discover", "renew", "beat"]),
        touches=st.integers(1, 25),
    )
    def go(self, at: int, job: str, touches: int) -> None:
        """A replica begins a job, or goes on with what it has in hand, for some touches."""
        replica = self.replica(at)

        async def work() -> None:
            if replica.work is None:
                await replica.begin(job)
            for _ in range(touches):
                await replica.step()

        self.run(work())

    @rule(at=AT)
    def tick(self, at: int) -> None:
        """Time passes, and a replica does a whole sweep."""
        replica = self.replica(at)
        self.world.time += timedelta(seconds=11)

        async def work() -> None:
            await replica.finish()
            await replica.begin("sweep")
            await replica.finish()

        self.run(work())

    @rule(
        at=AT,
        touches=st.one_of(st.integers(1, 24), st.integers(12, 17)),
        change=CHANGES,
        seconds=st.sampled_from([11, 31]),
    )
    def overtake(self, at: int, touches: int, change: tuple[str, Any], seconds: int) -> None:
        """A replica stops in the midst of a sweep, something changes, another one sweeps, and the first goes on."""
        self.world.time += LEASE
        self.run(self.replica(at).finish())
        self.go(at, "sweep", touches)
        self.weather(change)
        self.world.time += timedelta(seconds=seconds)
        self.tick(at + 1)
        self.run(self.replica(at).finish())

    @rule(at=AT, same_name=st.booleans())
    def die(self, at: int, same_name: bool) -> None:
        self.run(self.world.bury(self.replica(at), same_name=same_name))

    @rule(at=AT, is_leaving=st.booleans())
    def join_or_leave(self, at: int, is_leaving: bool) -> None:
        """A replica joins, or one of several stops in order; all the others hear of it."""
        if is_leaving and len(self.world.replicas) > 1 and not self.world.is_database_away:
            self.run(self.world.leave(self.replica(at)))
        elif not is_leaving and len(self.world.replicas) < MOST_REPLICAS:
            self.world.replicas.append(self.world.a_replica())
            Storm.tally["replicas that joined"] += 1
        for replica in self.world.replicas:
            replica.scheduler.hear(())

    @rule()
    @precondition(lambda self: self.before is not None and not self.world.is_database_away)
    def restart_all(self) -> None:
        """All replicas are restarted one by one, as in an upgrade."""
        for replica in list(self.world.replicas):
            self.run(self.world.leave(replica))
            self.world.replicas.append(self.world.a_replica())
            self.world.time += timedelta(seconds=1)
            self.tick(len(self.world.replicas) - 1)

    @rule(change=CHANGES)
    def weather(self, change: tuple[str, Any]) -> None:
        """Something changes that nobody here decides about."""
        what, how = change
        getattr(self, f"weather_{what}")(how)

    def weather_time(self, seconds: int) -> None:
        self.world.time += timedelta(seconds=seconds)

    def weather_patch(self, fate: Fate) -> None:
        self.world.cloud.fates = [fate]

    def weather_late(self, _: None) -> None:
        if self.world.cloud.late:
            self.world.cloud.arrive()

    def weather_hand(self, routing: Routing) -> None:
        if self.before and not self.before.phase.is_final and self.hands < MOST_HANDS:
            self.hands += 1
            self.world.cloud.apply(routing)

    def weather_canary(self, is_bad: bool) -> None:
        self.world.source.bad_from = 1 if is_bad else 101
        if isinstance(self.world.source, CallersSource):  # It dies where it has everything.
            self.world.source.bad_from, self.world.source.is_dead = 100 if is_bad else 101, False

    def weather_database(self, is_away: bool) -> None:
        self.world.is_database_away = is_away

    def weather_heartbeats(self, do_stall: bool) -> None:
        self.world.do_heartbeats_stall = do_stall

    def weather_clocks(self, seconds: int) -> None:
        """The clock of the first replica is wrong by some seconds."""
        self.world.replicas[0].watch.skew = timedelta(seconds=seconds)

    def weather_newer(self, version: str) -> None:
        self.world.cloud.latest = version

    def weather_answer(self, _: None) -> None:
        self.world.losing_answers = 1

    @rule(verb=st.sampled_from(list(Verb)), age=st.sampled_from([0, 0, 0, 1]), is_repeated=st.booleans())
    def command(self, verb: Verb, age: int, is_repeated: bool) -> None:
        """A person asks for something, perhaps by a look that is out of date, perhaps twice."""
        self.run(self.ask(verb, age, is_repeated))

    # --- what has to hold

    async def hold_to_the_laws(self, replica: Replica, target: Routing) -> None:
        """Look at a PATCH that is about to be sent: laws 1, 4, 5 and 7."""
        rollout, intent = await self.stored(), await self.world.reader.intent("support-agent")
        async with self.world.reader._database.reading() as connection:
            lease = (await connection.execute(select(leases))).one()
        is_its_own = (lease.replica, lease.until > self.world.time) == (replica.name, True)
        # Whose clock is wrong by seconds may act so many seconds too late: nothing that is written comes of it.
        if not is_its_own and not self.world.are_clocks_apart:
            self.broken.append(f"{replica.name} acts without a lease")
        if target.weight("2") > self.world.cloud.routing.weight("2"):
            if intent is None or intent.target.weights != target.weights:
                self.broken.append(f"the weight rises to {target} without an intent")
            elif not is_of_the_plan(rollout, target) and not self.is_adopted(intent, target):
                self.broken.append(f"the weight rises to {target} at step {rollout.step}")
        Storm.tally["PATCHes"] += 1

    @invariant()
    @precondition(lambda self: self.before is not None)
    def the_history_tells_how_the_rollout_stands(self) -> None:
        Storm.tally["steps"] += 1
        assert self.broken == []
        rollout, history = self.run(self.stored()), self.run(self.world.reader.history("r-1"))
        # A refusal is no move of the rollout: it has no number, and comes when it comes.
        told = tuple(event for event in history if event.kind != "rollout.refused")
        before = self.before
        assert before is not None
        assert told[: len(self.told)] == self.told, "the history changed"
        assert [event.id for event in told] == [f"r-1:{number}" for number in range(1, rollout.event_count + 1)]
        kinds = [event.kind.removeprefix("rollout.") for event in told]
        assert walked(told) == rollout.step, "a step is missing or was taken twice"
        assert set(kinds[:-1]) <= DONE, "something came after the end"
        assert (kinds[-1] in ENDS) == rollout.phase.is_final
        assert rollout.phase.is_final is False or kinds[-1] == rollout.phase
        assert not before.phase.is_final or rollout.phase is before.phase
        assert rollout.generation >= before.generation
        self.told, self.before = told, rollout
        self.commands_acted_once(told)

    def commands_acted_once(self, told: tuple[Event, ...]) -> None:
        authors = Counter(event.author for event in told if event.author)
        assert all(times == 1 for times in authors.values()), "a command acted twice"
        assert set(authors) <= set(self.accepted), "a refused command acted"

    async def come_right(self) -> None:
        """In good weather the rollout ends, and the cloud is as the history says: laws 4 and 7."""
        people = iter(range(1000))

        async def turn() -> bool:
            rollout = await self.stored()
            if rollout.phase is RolloutPhase.PAUSED:
                await self.ask(Verb.RESUME, 0, is_repeated=False, author=f"calm-{next(people)}")
            is_for_people = self.hands and self.on_drift is OnDrift.PAUSE and not await self.is_settled(rollout)
            if "to be as recorded" in rollout.because or (rollout.phase.is_final and is_for_people):
                self.world.cloud.apply(await self.stable())
            return rollout.phase.is_final and await self.is_settled(rollout)

        await self.world.calm(CALM_ROUNDS, turn)
        rollout = await self.stored()
        assert self.broken == []
        assert rollout.phase.is_final, f"after calm it is {rollout.phase}: {rollout.because}"
        assert await self.is_settled(rollout), f"{rollout.phase}, but the cloud has {self.world.cloud.routing}"
        Storm.tally[f"ended {rollout.phase}"] += 1
        Storm.tally["storms"] += 1

    async def is_settled(self, rollout: Rollout) -> bool:
        """Whether the stable version serves and nothing is left open; a routing that is adopted stays as it is."""
        is_adopted = rollout.phase is RolloutPhase.SUPERSEDED or (self.hands and self.on_drift is OnDrift.ADOPT)
        is_as_told = is_adopted or self.world.cloud.routing == await self.stable()
        return is_as_told and await self.world.reader.intent("support-agent") is None

    def is_adopted(self, intent: Intent, target: Routing) -> bool:
        """Whether another hand gave the version most, and the policy takes that for what is wanted."""
        event = intent.record.event
        is_told = event is not None and event.kind == "agent.adopted" and intent.record.stable == "2"
        return self.on_drift is OnDrift.ADOPT and is_told and target == Routing.of({"2": 100})

    async def stable(self) -> Routing:
        known = await self.world.reader.agent("support-agent")
        assert known is not None
        return Routing.of({known.stable or "": 100})

    # --- small things

    def replica(self, at: int) -> Replica:
        return self.world.replicas[at % len(self.world.replicas)]

    async def stored(self) -> Rollout:
        rollout: Rollout = await self.world.reader.rollout("r-1")
        return rollout

    async def ask(self, verb: Verb, age: int, is_repeated: bool, author: str | None = None) -> None:
        rollout = await self.stored()
        author = author or f"person-{len(self.accepted) + len(self.refused)}"
        command = Command(
            f"c-{author}", "r-1", verb, rollout.generation - age, self.world.time, author, None, f"key-{author}"
        )
        try:
            await self.world.reader.accept(command)
        except ConflictError:
            self.refused.add(author)
            return
        assert age == 0, "a stale command was accepted"
        self.accepted[author] = command
        if is_repeated:
            again = await self.world.reader.accept(replace(command, id=f"again-{author}"))
            assert again.generation == (await self.stored()).generation


def walked(told: Sequence[Event]) -> int:
    """Return the step to which the history leads, one up at a time, and back from all traffic to the one below."""
    step = 0
    for event in told:
        if event.kind in {"rollout.started", "rollout.advanced"}:
            assert event.step == step + 1
            step += 1
        if event.kind == "rollout.stepped_back":
            assert (step, event.step) == (len(WEIGHTS), len(WEIGHTS) - 1)
            step -= 1
    return step


def is_of_the_plan(rollout: Rollout, target: Routing) -> bool:
    """Whether the canary's weight is that of the step on which the rollout stands, or of the next one."""
    following = 100 if rollout.is_on_last_step else rollout.policy.weight_at(rollout.step + 1)
    return target.weight("2") in {rollout.weight, following}
