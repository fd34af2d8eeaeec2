"""Discovery: see new versions, and keep every governed endpoint pinned.

By default an endpoint follows the latest version, so that a new one meets all users at once. The pin guard takes
that away before anything else: at first sight the version that serves becomes the stable one and is named.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from foundry_rollouts.controller.act import Change, act, closed_as
from foundry_rollouts.controller.hand import Hand
from foundry_rollouts.core.policy import Policy, Trigger
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.core.routing import LATEST, Routing
from foundry_rollouts.errors import CloudError, DriftError, LeaseLostError
from foundry_rollouts.ports import AgentKnown, AgentSeen, Event, Lease, Record, VersionStatus, World
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
            policy = self.world.policies.policy_for(agent.name)
            noted = _noted(known.get(agent.name, AgentKnown(agent.name)), agent, policy)
            seen.append(noted)
            if policy is not None:
                await self._attend(agent, noted, policy)
        await self.world.store.see_agents(seen, self.now())

    async def _attend(self, agent: AgentSeen, known: AgentKnown, policy: Policy) -> None:
        """Deal with one agent, unless a tick has it in hand or it has an open intent."""
        lease = await self.hand.take(agent.name, self.now())
        if lease is None:
            return
        has_rollouts = True
        try:
            has_rollouts = bool(await self.world.store.unfinished(agent.name))
            if await self.world.store.intent(agent.name) is None:
                await self._deal_with(agent, known, policy, lease)
        except (CloudError, DriftError, LeaseLostError) as error:
            log.warning("agent.unattended", agent=agent.name, because=str(error))
        finally:
            await self.hand.lay_down(lease, keep=has_rollouts)

    async def _deal_with(self, agent: AgentSeen, known: AgentKnown, policy: Policy, lease: Lease) -> None:
        unfinished = await self.world.store.unfinished(agent.name)
        if known.stable is None:
            known = await self._adopt(agent, known, lease)
        elif not agent.routing.is_pinned and not any(rollout.step for rollout in unfinished):
            await self._pin(agent, known.stable, lease)
        if known.stable is None:
            return
        canary = next((rollout.canary for rollout in unfinished if rollout.step), None)
        self.metrics.routing(agent.name, agent.routing, known.stable, canary)
        latest = agent.latest.version if agent.latest and not agent.latest.is_draft else None
        if latest is not None and latest not in {known.newest, known.stable}:
            is_asked = any(rollout.canary == latest for rollout in unfinished)
            wanted = policy if policy.trigger is Trigger.NEW_VERSION and not is_asked else None
            await self._meet(known, latest, wanted, lease)

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
        """Record the stable version, and pin the endpoint to it where it is not pinned."""
        now = self.now()
        is_pinned = agent.routing.is_pinned
        target = agent.routing if is_pinned else closed_as(Routing.of({stable: 100}), agent.routing)
        kind = "agent.adopted" if is_pinned else "agent.pinned"
        event = Event(
            id=f"{agent.name}:{kind}:{int(now.timestamp() * 1000)}",
            at=now,
            kind=kind,
            agent=agent.name,
            because=because,
            weights=dict(target.weights),
        )
        record = Record(event=event, stable=stable, newest=newest)
        await act(self.world, lease, Change(agent.routing, target, is_retreat=True), record, now)
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


def _noted(known: AgentKnown, agent: AgentSeen, policy: Policy | None) -> AgentKnown:
    return replace(
        known,
        latest=agent.latest.version if agent.latest else None,
        latest_status=agent.latest.status if agent.latest else None,
        routing=agent.routing,
        policy=policy.name if policy else None,
        is_gone=False,
    )
