"""Discovery: see new versions, and keep every governed endpoint pinned.

By default an endpoint follows the latest version, so that a new one meets all users at once. The pin guard (``pin.py``)
takes that away before anything else: at first sight the version that serves becomes the stable one and is named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from foundry_rollouts.controller.governance import Governance, Survey, lost_policy
from foundry_rollouts.controller.hand import Hand
from foundry_rollouts.controller.incarnation import RecreatedError, begin_anew, is_recreated
from foundry_rollouts.controller.new_versions import Reception, has_news, is_being_built, marks_after
from foundry_rollouts.controller.pin import PinGuard
from foundry_rollouts.controller.wheel import Wheel
from foundry_rollouts.core.incarnation import is_same
from foundry_rollouts.core.policy import Policy
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.errors import CloudError, DriftError, LeaseLostError
from foundry_rollouts.ports import AgentKnown, AgentSeen, Lease, Record, World
from foundry_rollouts.ports.urgency import Urgency, urgently
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Discovery:
    """Lists the agents and deals with what is new."""

    world: World
    metrics: Metrics
    hand: Hand
    now: Callable[[], datetime]
    new_id: Callable[[datetime], str]
    wheel: Wheel = field(default_factory=Wheel)

    @property
    def pins(self) -> PinGuard:
        return PinGuard(self.world, self.metrics, self.now, self.wheel)

    async def discover(self) -> Survey:
        """Look at every agent once and return who is governed. Raises CloudError when the cloud cannot be listed."""
        governance = Governance(self.world.policies)
        known = {agent.name: agent for agent in await self.world.store.agents()}
        seen: list[AgentKnown] = []
        async for agent in self.world.cloud.agents():
            before = known.get(agent.name, AgentKnown(agent.name))
            policy = governance.policy_for(before)
            noted = _noted(before, agent, policy)
            if policy is None and before.policy is not None and not await self._record_loss(before):
                noted = replace(noted, policy=before.policy)  # Another replica has it in hand: once more next time.
            seen.append(noted)
            if policy is not None and is_notable(agent, before):
                await self._attend(agent, before, policy)
        await self.world.store.see_agents(seen, self.now())
        self.metrics.see(known, {agent.name for agent in seen}, self.now())
        return governance.survey()

    async def _record_loss(self, known: AgentKnown) -> bool:
        """Record that an agent lost its policy; return whether this replica could do so."""
        event = lost_policy(known, self.world.policies, self.now())
        log.warning(event.kind, agent=known.name, because=event.because)
        return await self.hand.record(known.name, Record(event=event), event.at)

    async def _attend(self, listed: AgentSeen, known: AgentKnown, policy: Policy) -> None:
        """Deal with one agent, unless a tick has it in hand or it has an open intent.

        While a rollout is under way only a new version is of interest: its ticks do the rest, and never wait for us.
        """
        name = listed.name
        if known.stable and await self._is_for_ticks(listed, known):
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
                    if await is_recreated(self.world, known, agent):
                        found = RecreatedError(known, agent)
                        known, unfinished = await begin_anew(self.world, self.metrics, lease, found, self.now), ()
                await self._deal_with(agent, known, policy, lease, unfinished)
        except (CloudError, DriftError, LeaseLostError) as error:
            log.warning("agent.unattended", agent=name, because=str(error))
        finally:
            await self.hand.lay_down(lease, keep=has_rollouts)

    async def _is_for_ticks(self, listed: AgentSeen, known: AgentKnown) -> bool:
        """Whether nothing is of interest here that the ticks of the agent's rollouts do not see to."""
        unfinished = await self.world.store.unfinished(listed.name)
        if is_same(known.marks, listed.marks) is False:
            return False
        if _under_way(unfinished):
            return not _is_unknown(listed, known) or is_being_built(listed, unfinished)
        return known.is_as_recorded(listed.routing) and is_being_built(listed, unfinished)

    async def _deal_with(
        self, agent: AgentSeen, known: AgentKnown, policy: Policy, lease: Lease, unfinished: Sequence[Rollout]
    ) -> None:
        started = _under_way(unfinished)
        if known.stable is None:
            known = await self.pins.adopt(agent, known, policy, lease)
        elif started is None:
            known = await self.pins.guard(agent, known, known.stable, policy, lease)
        if known.stable is None:
            return
        self.metrics.routing(agent.name, agent.routing, known.stable, started.canary if started else None)
        await Reception(self.world, self.now, self.new_id).receive(agent, known, policy, lease)


def is_notable(agent: AgentSeen, known: AgentKnown) -> bool:
    """Whether a listing shows anything that is not as recorded; most agents are quiet most of the time."""
    return known.is_gone or not known.is_as_recorded(agent.routing) or _is_unknown(agent, known)


def _is_unknown(agent: AgentSeen, known: AgentKnown) -> bool:
    """Whether the agent has a new version, or marks that are not those that are known."""
    is_another = is_same(known.marks, agent.marks) is False
    return is_another or has_news(agent, known) or marks_after(agent, known) != known.marks


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
