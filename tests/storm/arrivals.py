"""Storms between and before rollouts: versions arrive, are started before discovery sees them, wait, end and return.

Every PATCH that is sent is held against two laws: a version that had a trial in this incarnation of the agent gets
more only where a person asked for it, and the end of what never began sends nothing.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from builders import NOON, a_rollout
from fakes import FakePolicies
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.new_versions import OnNewVersion
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import NOT_WHOLE, CloudError, Refusal, RolloutsError
from foundry_rollouts.operations.start import Start, start
from foundry_rollouts.ports import RolloutFilter
from foundry_rollouts.store.store import SqlStore
from small_world import LEASE, SmallSource, a_quick_policy
from storm.small import HastyLoop, Replica, StormyWorld

AGENT = "support-agent"
RUBBISH = CloudError("agents.get", Refusal(200, NOT_WHOLE, "answered what is not the JSON of its kind"))
FIRST = st.sampled_from([Routing.of(each) for each in ({LATEST: 100}, {LATEST: 20, "1": 80}, {"1": 100})])
MIXED = st.sampled_from([{LATEST: 100}, {LATEST: 20, "1": 80}, {LATEST: 70, "1": 30}, {"1": 100}])
AT = st.integers(0, 1)


@dataclass
class BadVersions(SmallSource):
    """The canary fails where it is one of the bad ones."""

    bad: set[str] = field(default_factory=set)

    async def measure(self, rollout: Rollout, window: Any) -> Any:
        self.bad_from = 1 if rollout.canary in self.bad else 101
        return await super().measure(rollout, window)


class Arrivals(RuleBasedStateMachine):
    """One agent that is discovered, its versions, and whoever asks for them."""

    new_database: ClassVar[Callable[[], AbstractContextManager[str]]]

    def __init__(self) -> None:
        super().__init__()
        self.loop, self.stack = HastyLoop(), ExitStack()
        self.loop.set_exception_handler(lambda *_: None)
        url = self.stack.enter_context(type(self).new_database())
        self.opened: list[SqlStore] = []
        self.broken: list[str] = []
        self.asked, self.lives = 0, 1
        self.is_begun = False

        def open_as(replica: str) -> SqlStore:
            self.opened.append(SqlStore(url, replica=replica, lease=LEASE, limit=timedelta(minutes=2)))
            return self.opened[-1]

        self.open_as = cache(open_as)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            if self.is_begun:
                self.world.cloud.trouble = None
                self.tick(0)
                assert self.broken == []
        finally:
            for replica in self.world.replicas if self.is_begun else ():
                self.run(replica.die())
            for store in self.opened:
                self.run(store.close())
            self.loop.close()
            self.stack.close()

    @initialize(first=FIRST, drift=st.sampled_from(list(OnDrift)), new=st.sampled_from(list(OnNewVersion)))
    def begin(self, first: Routing, drift: OnDrift, new: OnNewVersion) -> None:
        self.policy = a_quick_policy(on_drift=drift, on_new_version=new)
        self.world = StormyWorld(self.open_as, NOON, a_rollout(agent=AGENT, policy=self.policy))
        self.world.source = BadVersions(self.world.cloud)
        self.world.on_route = self.hold_to_the_laws
        self.world.cloud.latest, self.world.cloud.routing = "1", first
        self.world.cloud.marks = Marks(guid="life-1")
        self.world.replicas += [self.world.a_replica(), self.world.a_replica()]
        self.is_begun = True
        self.work(0, "discover")

    @rule(at=AT)
    def discover(self, at: int) -> None:
        self.work(at, "discover")

    @rule(at=AT)
    def tick(self, at: int) -> None:
        self.work(at, "sweep")

    @rule(at=AT, job=st.sampled_from(["discover", "sweep"]), touches=st.integers(1, 20))
    def stop_in_the_midst(self, at: int, job: str, touches: int) -> None:
        """A replica stops anywhere; the next one to work at this place goes on first."""
        replica = self.world.replicas[at]

        async def go() -> None:
            if replica.work is None:
                await replica.begin(job)
            for _ in range(touches):
                await replica.step()

        self.run(go())

    @rule(is_bad=st.booleans(), is_started=st.booleans())
    def deploy(self, is_bad: bool, is_started: bool) -> None:
        """A version arrives; a pipeline may start it before discovery has seen it."""
        cloud = self.world.cloud
        if int(cloud.latest) < 6:
            cloud.latest = str(int(cloud.latest) + 1)
            if is_bad:
                self.world.source.bad.add(cloud.latest)  # type: ignore[attr-defined]
            if is_started:
                self.ask_for(cloud.latest)

    @rule(at=AT, is_started=st.booleans(), is_bad=st.booleans())
    def be_taken_back(self, at: int, is_started: bool, is_bad: bool) -> None:
        """A version arrives, gets weight where it can, fails or is aborted, and discovery looks again."""
        self.deploy(is_bad, is_started)
        for job in ("discover", "sweep", "sweep"):
            self.work(at, job)
        if not is_bad:
            self.command(Verb.ABORT, False)
        for job in ("sweep", "discover", "sweep"):
            self.work(at, job)

    @rule(at=AT, is_started=st.booleans(), weights=MIXED, end=st.sampled_from([Verb.ABORT, None]))
    def end_before_it_begins(self, at: int, is_started: bool, weights: dict[str, int], end: Verb | None) -> None:
        """A rollout that waits for its first weight is aborted or superseded while another hand has the routing."""
        self.deploy(False, is_started)
        if not is_started:
            self.work(at, "discover")
        self.hand(weights)
        if end:
            self.command(end, False)
        else:
            self.deploy(False, True)
        self.work(at, "sweep")

    @rule(number=st.integers(2, 6))
    def start_again(self, number: int) -> None:
        """A person asks for any version that is there."""
        if number <= int(self.world.cloud.latest):
            self.ask_for(str(number))

    @rule(verb=st.sampled_from([Verb.ABORT, Verb.ABORT, *Verb]), is_last=st.booleans())
    def command(self, verb: Verb, is_last: bool) -> None:
        """A person asks something of the first or of the last one in the queue, before or after it began."""
        unfinished = self.run(self.world.reader.unfinished(AGENT))
        if unfinished:
            rollout, name = unfinished[-1 if is_last else 0], self.a_name()
            command = Command(f"c-{name}", rollout.id, verb, rollout.generation, self.world.time, name, None, name)
            self.tried(self.world.reader.accept(command))

    @rule(weights=MIXED)
    def hand(self, weights: dict[str, int]) -> None:
        self.world.cloud.apply(Routing.of(weights))

    @rule(is_rubbish=st.booleans())
    def answer_rubbish(self, is_rubbish: bool) -> None:
        self.world.cloud.trouble = RUBBISH if is_rubbish else None

    @rule(is_unknown=st.booleans())
    def set_unknown_rules(self, is_unknown: bool) -> None:
        """Somebody sets rules of a type that is not known here: nothing may be sent until they are gone."""
        for replica in self.world.replicas:
            self.run(replica.finish())
        self.world.cloud.unreadable = "a rule of type Canary is not known here" if is_unknown else None

    @rule(first=FIRST)
    def make_again(self, first: Routing) -> None:
        """The agent is deleted and made again under its name: its versions are others, whatever their numbers."""
        for replica in self.world.replicas:
            self.run(replica.finish())
        cloud = self.world.cloud
        self.lives += 1
        cloud.latest, cloud.routing, cloud.late = "1", first, []
        cloud.marks = Marks(guid=f"life-{self.lives}")
        self.world.source.bad.clear()  # type: ignore[attr-defined]
        self.world.time += timedelta(seconds=1)
        self.work(0, "discover")

    @invariant()
    @precondition(lambda self: self.is_begun)
    def no_law_is_broken(self) -> None:
        assert self.broken == []

    async def hold_to_the_laws(self, _: Replica, target: Routing) -> None:
        intent, known = await self.world.reader.intent(AGENT), await self.world.reader.agent(AGENT)
        planned = intent.record.rollout if intent else None
        if planned is not None and not planned.step:
            self.broken.append(f"the end of {planned.id}, which never began, sends {target}: {planned.because}")
        if self.world.cloud.unreadable:
            self.broken.append(f"{target} is sent over rules that are not known here")
        seen = self.world.cloud.routing
        chosen = {known.stable if known else None, intent.record.stable if intent else None}
        for version, weight in target.weights:
            # What follows the latest version is served by one that may be named instead: that is no more than it had.
            if weight > seen.weight(version) + seen.weight(LATEST) and version not in chosen:
                await self.is_explained(version, target, known.incarnation if known else 1)

    async def is_explained(self, version: str, target: Routing, life: int) -> None:
        """A version on trial gets more: if it had another trial in this life, a person asked for this one."""
        which = RolloutFilter(agent=AGENT, canary=version, incarnation=life)
        trials = await self.world.reader.rollouts(which)
        present = [trial for trial in trials if not trial.phase.is_final]
        if not present:
            self.broken.append(f"{target} is sent, and version {version} is not on trial")
        elif len(trials) > 1 and present[0].author is None:
            earlier = [f"{trial.id} {trial.phase}" for trial in trials[1:]]
            self.broken.append(f"{target} is sent, and nobody asked for version {version} again after {earlier}")

    # --- small things

    def work(self, at: int, job: str) -> None:
        replica = self.world.replicas[at]
        self.world.time += timedelta(seconds=11)

        async def go() -> None:
            await replica.finish()
            await replica.begin(job)
            await replica.finish()

        self.run(go())

    def a_name(self) -> str:
        self.asked += 1
        return f"person-{self.asked}"

    def ask_for(self, version: str) -> None:
        name = self.a_name()
        wanted = Start(f"asked-{name}", AGENT, version, name)
        self.tried(start(self.world.reader, FakePolicies((self.policy,)), wanted, self.world.time))

    def tried(self, work: Any) -> None:
        try:
            self.run(work)
        except RolloutsError:
            return
