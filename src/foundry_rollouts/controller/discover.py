"""Discovery: see new versions, and keep every governed endpoint pinned.

By default an endpoint follows the latest version, so that a new one meets all users at once. The pin guard (``pin.py``)
takes that away before anything else: at first sight the version that serves becomes the stable one and is named.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from foundry_rollouts.controller.contested import Wheel
from foundry_rollouts.controller.governance import Governance, Survey, lost_policy
from foundry_rollouts.controller.incarnation import RecreatedError, begin_anew, is_recreated
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.listings import Listings
from foundry_rollouts.controller.new_versions import Reception, has_news, is_being_built, marks_after
from foundry_rollouts.controller.pin import PinGuard
from foundry_rollouts.controller.presence import Presence, may_have_lost_its_stable
from foundry_rollouts.controller.problems import ProblemsOfProject, show_problems
from foundry_rollouts.controller.record import record_of_agent
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.core.model.agent_names import is_of
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.incarnation import is_same
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Ending, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import LeaseLostError, RolloutsError, StoreError
from foundry_rollouts.pacing import slowly
from foundry_rollouts.ports import AgentKnown, AgentSeen, Brief, Lease, World
from foundry_rollouts.ports.priority import Priority, at_priority
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

#: After so many agents of a listing, which is a page, everything else has so long for itself.
PACE = 100, timedelta(seconds=0.02)
Trial = TypeVar("Trial", Rollout, Brief)


@dataclass(frozen=True, slots=True)
class Governed:
    """The policy of an agent; where several name it equally, it is one of them, and only pins the endpoint."""

    policy: Policy
    is_tied: bool = False


@dataclass(frozen=True, slots=True)
class Discovery:
    """Lists the agents and deals with what is new."""

    world: World
    metrics: Metrics
    pool: LeasePool
    now: Callable[[], datetime]
    new_id: Callable[[datetime], str]
    wheel: Wheel = field(default_factory=Wheel)
    troubles: Troubles = field(default_factory=Troubles)
    first_reads: dict[str, Ending] = field(default_factory=dict)  #: Latest versions that seem to be at their end.
    left: dict[str, Routing] = field(default_factory=dict)  #: What agents were left with since they were listed.
    presence: Presence = field(default_factory=Presence)
    unreported: set[str] = field(default_factory=set)  #: Agents without a policy of which no tie is to be reported yet.
    listings: Listings = field(default_factory=Listings)  #: What ticks take for a read, where it is recent enough.
    project: str = ""  #: Whose agents are listed, where there are several; empty: all.
    unfinished: dict[str, Sequence[Brief]] = field(default_factory=dict)  #: As they were when the listing began.

    @property
    def pins(self) -> PinGuard:
        return PinGuard(self.world, self.metrics, self.now, self.wheel, self.first_reads, self.left)

    async def discover(self) -> Survey:
        """Look at every agent once and return who is governed. Raises CloudError when the cloud cannot be listed."""
        governance = Governance(self.world.policies, unreported=self.unreported)
        known = {each.name: each for each in await self.world.store.agents() if is_of(each.name, self.project)}
        self.unfinished.clear()
        self.unfinished.update(await self.world.store.unfinished_in_brief())
        seen: list[AgentKnown] = []
        troubles: dict[str, str] = {}
        governed: list[tuple[AgentSeen, AgentKnown]] = []
        asked_at, listed = self.now(), dict[str, AgentSeen]()
        async for agent in slowly(self.world.cloud.agents(), *PACE):
            if not agent.name:
                governance.nameless.append(agent.unreadable or "an agent has no name")
                continue
            noted, why = await self._look_at(agent, known.get(agent.name, AgentKnown(agent.name)), governance)
            seen.append(noted)
            if agent.name in self.unfinished:
                listed[agent.name] = agent
            if noted.policy is not None and agent.unreadable is None and may_have_lost_its_stable(agent, noted):
                governed.append((agent, noted))
            if why is not None:
                troubles[agent.name] = why
            if (why is None) != (noted.unreadable is None):
                await self._report(agent.name, why)
        self.listings.take(self.project, asked_at, {} if governance.nameless else listed)
        await self._remember(known, seen, troubles, governance)
        await self.presence.check(self.world, self.pool, governed, self.now())
        return governance.survey()

    async def _remember(
        self,
        known: Mapping[str, AgentKnown],
        seen: Sequence[AgentKnown],
        troubles: dict[str, str],
        governance: Governance,
    ) -> None:
        """Write down what was seen, and report what cannot be; whoever has no name may be any of those not seen."""
        is_whole = not governance.nameless
        as_known = {agent.name for agent in seen if agent is known.get(agent.name)}
        unwritten = await self.world.store.see_agents(
            seen, self.now(), is_whole=is_whole, project=self.project, as_known=as_known
        )
        self.troubles.unwritten = {name: f"it cannot be recorded: {why}" for name, why in unwritten.items()}
        for name, why in self.troubles.unwritten.items():
            if name not in troubles:
                troubles[name] = why
                await self._report(name, why)
        shown = ProblemsOfProject(self.metrics, self.project)
        await show_problems(shown, self.world.store, seen, troubles, len(governance.nameless))
        names = {agent.name for agent in seen}
        self.metrics.see(known if is_whole else names, names, self.now())

    async def _record_loss(self, known: AgentKnown) -> bool:
        """Record that an agent lost its policy; return whether this replica could do so."""
        event = lost_policy(known, self.world.policies, self.now())
        log.warning(event.kind, agent=known.name, because=event.because)
        is_written = await self.pool.record(known.name, record_of_agent(event), event.at)
        if is_written:
            self.unreported.discard(known.name)
        return is_written

    async def _look_at(
        self, agent: AgentSeen, known: AgentKnown, governance: Governance
    ) -> tuple[AgentKnown, str | None]:
        """Deal with one agent; return what is noted of it, and what is wrong with it. It never keeps the others."""
        noted, why = known, None
        try:
            policy = governance.policy_for(known)
            noted = _noted(known, agent, policy)
            if governance.is_loss(known, policy) and not await self._record_loss(known):
                noted = replace(noted, policy=known.policy)  # Another replica holds it: once more next time.
            governed = Governed(policy) if policy else self._tied(agent.name)
            why = self._trouble(agent)
            if why is None and governed is not None and needs_attention(agent, known, governed.policy):
                await self._reconcile(agent, known, governed)
            self.troubles.failed_before.pop(agent.name, None)
        except RolloutsError as error:
            log.warning("agent.unattended", agent=agent.name, because=str(error))
            why = await self.troubles.why(self.world.store, agent.name, error)
        except Exception as error:
            # One agent's fault must not stop the others; the next listing tries again.
            log.exception("agent.crashed", agent=agent.name)
            why = await self.troubles.why(self.world.store, agent.name, error)
        if (left := self.left.pop(agent.name, None)) is not None:
            noted = replace(noted, routing=left)
        return noted, why

    def _trouble(self, agent: AgentSeen) -> str | None:
        if agent.unreadable is not None:
            return f"the routing of agent {agent.name} cannot be read: {agent.unreadable}"
        return self.troubles.sick.get(agent.name) or self.troubles.unwritten.get(agent.name)

    async def _report(self, agent: str, why: str | None) -> None:
        try:
            await self.troubles.report(self.pool, self.world.store, agent, why, self.now)
        except (StoreError, LeaseLostError) as error:
            log.warning("agent.unreported", agent=agent, because=str(error))

    def _tied(self, agent: str) -> Governed | None:
        """Return one of the policies that name an agent equally; None when none names it."""
        tied = next((policy for policy in self.world.policies.all() if policy.matches(agent) is not None), None)
        return Governed(replace(tied, on_drift=OnDrift.PAUSE), is_tied=True) if tied else None

    async def _reconcile(self, listed: AgentSeen, known: AgentKnown, governed: Governed) -> None:
        """Reconcile one agent, unless a tick holds it or it has an open intent.

        While a rollout is under way only a new version is of interest: its ticks do the rest, and never wait for us.
        """
        name = listed.name
        if known.stable and self._is_for_ticks(listed, known):
            return
        lease = await self.pool.acquire(name, self.now())
        if lease is None:
            return
        has_rollouts = True
        try:
            unfinished = await self.world.store.unfinished(name)
            has_rollouts = bool(unfinished)
            if await self.world.store.intent(name) is None:
                # The listing may be older than the last tick; what is acted on is read under the lease.
                known = await self.world.store.agent(name) or AgentKnown(name)
                with at_priority(Priority.INTERACTIVE):
                    agent = await self.world.cloud.agent(name)
                    if await is_recreated(self.world, known, agent):
                        found = RecreatedError(known, agent)
                        known, unfinished = await begin_anew(self.world, self.metrics, lease, found, self.now), ()
                await self._reconcile_leased(agent, known, governed, lease, unfinished)
        finally:
            await self.pool.release(lease, keep=has_rollouts)

    def _is_for_ticks(self, listed: AgentSeen, known: AgentKnown) -> bool:
        """Whether nothing is of interest here that the ticks of the agent's rollouts do not see to."""
        unfinished = self.unfinished.get(listed.name, ())
        if is_same(known.marks, listed.marks) is False:
            return False
        if _under_way(unfinished):
            return not _is_unknown(listed, known) or is_being_built(listed, unfinished)
        return known.is_as_recorded(listed.routing) and is_being_built(listed, unfinished)

    async def _reconcile_leased(
        self, agent: AgentSeen, known: AgentKnown, governed: Governed, lease: Lease, unfinished: Sequence[Rollout]
    ) -> None:
        started, policy, routing = _under_way(unfinished), governed.policy, agent.routing_read()
        if known.stable is None:
            known = await self.pins.adopt(agent, known, policy, lease)
        elif started is None:
            known = await self.pins.guard(agent, known, known.stable, policy, lease)
        if known.stable is None:
            return
        routing = self.left.get(agent.name, routing)
        self.metrics.routing(agent.name, routing, known.stable, started.canary if started else None)
        if not governed.is_tied:
            await Reception(self.world, self.now, self.new_id).receive(agent, known, policy, lease)


def needs_attention(agent: AgentSeen, known: AgentKnown, policy: Policy) -> bool:
    """Whether a listing shows anything that is not as recorded; most agents are quiet most of the time.

    Where nothing is moved the routing is anybody's, and only what is new of an agent is of interest.
    """
    is_quiet = (policy.observes and known.stable is not None) or known.is_as_recorded(agent.routing)
    return known.is_gone or not is_quiet or _is_unknown(agent, known)


def _is_unknown(agent: AgentSeen, known: AgentKnown) -> bool:
    """Whether the agent has a new version, or marks that are not those that are known."""
    is_another = is_same(known.marks, agent.marks) is False
    return is_another or has_news(agent, known) or marks_after(agent, known) != known.marks


def _under_way(unfinished: Sequence[Trial]) -> Trial | None:
    return next((rollout for rollout in unfinished if rollout.step), None)


def _noted(known: AgentKnown, agent: AgentSeen, policy: Policy | None) -> AgentKnown:
    """Return what is noted of an agent; ``known`` itself where that says so already."""
    named = policy.name if policy else None
    if agent.unreadable is not None:
        return replace(known, policy=named, is_gone=False)
    latest = (agent.latest.version, agent.latest.status) if agent.latest else (None, None)
    shown = (*latest, agent.routing, named, False)
    if shown == (known.latest, known.latest_status, known.routing, known.policy, known.is_gone):
        return known
    return replace(known, latest=latest[0], latest_status=latest[1], routing=agent.routing, policy=named, is_gone=False)
