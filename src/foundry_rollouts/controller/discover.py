"""Discovery: see new versions, and keep every governed endpoint pinned.

By default an endpoint follows the latest version, so that a new one meets all users at once. The pin guard takes
that away before anything else: at first sight the version that serves becomes the stable one and is named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from foundry_rollouts.controller.act import Change, act, closed_as
from foundry_rollouts.controller.hand import Hand
from foundry_rollouts.controller.observe import LATE_CHANGES, RECENT
from foundry_rollouts.core.policy import OnDrift, Policy, Trigger
from foundry_rollouts.core.rollout import MAY_ARRIVE_WITHIN, Rollout
from foundry_rollouts.core.routing import LATEST, Routing, arrived_late, is_way_back, routings_of
from foundry_rollouts.errors import CloudError, DriftError, LeaseLostError, UsageError
from foundry_rollouts.ports import AgentKnown, AgentSeen, Event, Lease, Record, RolloutFilter, VersionStatus, World
from foundry_rollouts.ports.urgency import Urgency, urgently
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

#: How far back to look for the version that serves while the latest is not active.
OLDER_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class Discovery:
    """Lists the agents and deals with what is new."""

    world: World
    metrics: Metrics
    hand: Hand
    now: Callable[[], datetime]
    new_id: Callable[[datetime], str]

    async def discover(self) -> None:
        """Look at every agent once. Raises CloudError when the cloud cannot be listed."""
        known = {agent.name: agent for agent in await self.world.store.agents()}
        seen: list[AgentKnown] = []
        async for agent in self.world.cloud.agents():
            policy = self._policy_for(agent.name)
            noted = _noted(known.get(agent.name, AgentKnown(agent.name)), agent, policy)
            seen.append(noted)
            if policy is not None and is_notable(agent, noted):
                await self._attend(agent, noted, policy)
        await self.world.store.see_agents(seen, self.now())

    def _policy_for(self, agent: str) -> Policy | None:
        try:
            return self.world.policies.policy_for(agent)
        except UsageError as error:
            log.warning("agent.ungoverned", agent=agent, because=str(error))
            return None

    async def _attend(self, listed: AgentSeen, known: AgentKnown, policy: Policy) -> None:
        """Deal with one agent, unless a tick has it in hand or it has an open intent.

        While a rollout is under way only a new version is of interest: its ticks do the rest, and never wait for us.
        """
        name = listed.name
        if known.stable and not _is_new(listed, known) and _under_way(await self.world.store.unfinished(name)):
            return
        lease = await self.hand.take(name, self.now())
        if lease is None:
            return
        has_rollouts = True
        try:
            unfinished = await self.world.store.unfinished(name)
            has_rollouts = bool(unfinished)
            if await self.world.store.intent(name) is None:
                # The listing may be older than the last tick; what is acted on is read under the lease.
                known = await self.world.store.agent(name) or AgentKnown(name)
                with urgently(Urgency.BRIEF):
                    agent = await self.world.cloud.agent(name)
                await self._deal_with(agent, known, policy, lease, unfinished)
        except (CloudError, DriftError, LeaseLostError) as error:
            log.warning("agent.unattended", agent=name, because=str(error))
        finally:
            await self.hand.lay_down(lease, keep=has_rollouts)

    async def _deal_with(
        self, agent: AgentSeen, known: AgentKnown, policy: Policy, lease: Lease, unfinished: Sequence[Rollout]
    ) -> None:
        started = _under_way(unfinished)
        if known.stable is None:
            known = await self._adopt(agent, known, lease)
        elif started is None:
            known = await self._guard(agent, known, known.stable, policy, lease)
        if known.stable is None:
            return
        self.metrics.routing(agent.name, agent.routing, known.stable, started.canary if started else None)
        latest = agent.latest.version if agent.latest and not agent.latest.is_draft else None
        if latest is not None and latest not in {known.newest, known.stable}:
            is_asked = any(rollout.canary == latest for rollout in unfinished)
            wanted = policy if policy.trigger is Trigger.NEW_VERSION and not is_asked else None
            await self._meet(known, latest, wanted, lease)

    async def _guard(
        self, agent: AgentSeen, known: AgentKnown, stable: str, policy: Policy, lease: Lease
    ) -> AgentKnown:
        """See to it that the stable version serves while no rollout is under way; return what is known then."""
        if not agent.routing.is_pinned:
            await self._pin(agent, stable, lease)
            return known
        if agent.routing.weights == Routing.of({stable: 100}).weights:
            return known
        drift = (
            f"no rollout is under way, yet the endpoint serves {agent.routing} and version {stable} is the stable one"
        )
        if await self._is_late_change_of_ours(agent, stable):
            await self._settle(agent, stable, f"{drift}: a change of ours arrived late; pinned again", lease, None)
        elif policy.on_drift is OnDrift.RESTORE:
            await self._settle(agent, stable, f"{drift}: restored", lease, None)
        elif policy.on_drift is OnDrift.ADOPT:
            adopted = max(agent.routing.weights, key=lambda pair: pair[1])[0]
            await self._tell(agent, "agent.adopted", f"{drift}: version {adopted} is adopted", lease, adopted)
            return replace(known, stable=adopted)
        else:
            await self._tell(agent, "agent.drifted", f"{drift}: rollouts wait until it is as recorded", lease)
        return known

    async def _is_late_change_of_ours(self, agent: AgentSeen, stable: str) -> bool:
        """Whether the routing is one that a rollout sent, and that the cloud may have applied after its end.

        What went without an answer is known for an hour; what was answered, and applied twice, for some minutes.
        A person who goes back from the stable version is not taken for the cloud, whatever of ours is unanswered.
        """
        recent = await self.world.store.rollouts(RolloutFilter(agent=agent.name, limit=RECENT))
        if is_way_back(recent, stable, agent.routing):
            return False
        if arrived_late(recent, agent.routing, self.now() - MAY_ARRIVE_WITHIN):
            return True
        last = next((rollout for rollout in recent if rollout.ended_at is not None), None)
        if last is None or last.ended_at is None or self.now() - last.ended_at >= LATE_CHANGES:
            return False
        return agent.routing.weights in {routing.weights for routing in routings_of(last)}

    async def _tell(self, agent: AgentSeen, kind: str, because: str, lease: Lease, stable: str | None = None) -> None:
        """Write a fact about an agent down, once for each routing."""
        event = Event(
            id=f"{agent.name}:{kind}:{because}",
            at=self.now(),
            kind=kind,
            agent=agent.name,
            because=because,
            weights=dict(agent.routing.weights),
        )
        await self.world.store.record(lease, Record(event=event, stable=stable))

    async def _adopt(self, agent: AgentSeen, known: AgentKnown, lease: Lease) -> AgentKnown:
        """Take note of the version that serves, and name it in the routing."""
        stable = await self._serving(agent)
        if stable is None or agent.latest is None:
            return known
        is_latest_old = agent.latest.status is VersionStatus.ACTIVE
        newest = agent.latest.version if is_latest_old else stable
        because = f"version {stable} serves; it is the stable version from now on"
        if not agent.routing.is_pinned:
            because += f", and the endpoint no longer follows {LATEST}"
        await self._settle(agent, stable, because, lease, newest)
        return replace(known, stable=stable, newest=newest)

    async def _serving(self, agent: AgentSeen) -> str | None:
        """Return the version that users have; None while there is none."""
        if agent.routing.is_pinned:
            return max(agent.routing.weights, key=lambda pair: pair[1])[0] if agent.routing.weights else None
        if agent.latest is None:
            return None
        if agent.latest.status is VersionStatus.ACTIVE:
            return agent.latest.version
        if not agent.latest.version.isdigit():
            return None
        newest = int(agent.latest.version)
        for number in range(newest - 1, max(newest - OLDER_VERSIONS, 0), -1):
            if await self._is_active(agent.name, str(number)):
                return str(number)
        return None

    async def _is_active(self, agent: str, version: str) -> bool:
        try:
            return (await self.world.cloud.version(agent, version)).status is VersionStatus.ACTIVE
        except CloudError as error:
            if error.is_missing:
                return False
            raise

    async def _pin(self, agent: AgentSeen, stable: str, lease: Lease) -> None:
        """Name the stable version again after somebody let the endpoint follow the latest one."""
        because = f"the endpoint followed {LATEST} again; pinned to version {stable}"
        if agent.latest and agent.latest.version != stable:
            because += f". Version {agent.latest.version} may have met users untested"
        await self._settle(agent, stable, because, lease, newest=None)

    async def _settle(self, agent: AgentSeen, stable: str, because: str, lease: Lease, newest: str | None) -> None:
        """Record the stable version and pin the endpoint to it; a routing that names versions is kept at first."""
        now = self.now()
        is_first_sight = newest is not None
        is_kept = is_first_sight and agent.routing.is_pinned
        target = agent.routing if is_kept else closed_as(Routing.of({stable: 100}), agent.routing)
        kind = "agent.adopted" if is_kept else "agent.pinned"
        event = Event(
            id=f"{agent.name}:{kind}:{int(now.timestamp() * 1000)}",
            at=now,
            kind=kind,
            agent=agent.name,
            because=because,
            weights=dict(target.weights),
        )
        record = Record(event=event, stable=stable, newest=newest)
        await act(self.world, lease, Change(agent.routing, target, is_retreat=True), record, self.now)
        log.info(kind, agent=agent.name, because=because)

    async def _meet(self, known: AgentKnown, version: str, policy: Policy | None, lease: Lease) -> None:
        """Begin a rollout of a new version, where the policy wants one."""
        record = Record(newest=version)
        if policy is not None:
            now = self.now()
            rollout = Rollout(
                id=self.new_id(now),
                agent=known.name,
                canary=version,
                stable=known.stable,
                policy=policy,
                created_at=now,
                because=f"version {version} is new; policy {policy.name} rolls it out",
                events=1,
            )
            event = Event(
                id=f"{rollout.id}:1",
                at=now,
                kind="rollout.created",
                agent=known.name,
                because=rollout.because,
                rollout=rollout.id,
                weights={known.stable: 100} if known.stable else None,
            )
            record = replace(record, created=rollout, event=event, due_at=now)
            log.info("rollout.created", agent=known.name, version=version, because=rollout.because)
        await self.world.store.record(lease, record)


def is_notable(agent: AgentSeen, known: AgentKnown) -> bool:
    """Whether a listing shows anything that is not as recorded; most agents are quiet most of the time."""
    if known.stable is None or agent.routing.weights != Routing.of({known.stable: 100}).weights:
        return True
    return _is_new(agent, known)


def _is_new(agent: AgentSeen, known: AgentKnown) -> bool:
    return agent.latest is not None and agent.latest.version not in {known.newest, known.stable}


def _under_way(unfinished: Sequence[Rollout]) -> Rollout | None:
    return next((rollout for rollout in unfinished if rollout.step), None)


def _noted(known: AgentKnown, agent: AgentSeen, policy: Policy | None) -> AgentKnown:
    return replace(
        known,
        latest=agent.latest.version if agent.latest else None,
        latest_status=agent.latest.status if agent.latest else None,
        routing=agent.routing,
        policy=policy.name if policy else None,
        is_gone=False,
    )
