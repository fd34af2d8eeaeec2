"""The pin guard: every governed endpoint names its versions, from first sight on and between rollouts.

By default an endpoint follows the latest version, so that a new one meets all users at once. What weights that no
rollout of ours set lead to is chosen in ``core/deciding/adoption.py``; here it is carried out, and reported.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from foundry_rollouts.controller.apply import Change, apply_routing
from foundry_rollouts.controller.contested import Wheel
from foundry_rollouts.controller.observe import LATE_CHANGES, RECENT
from foundry_rollouts.controller.record import NOTHING_KEPT, record_of_agent
from foundry_rollouts.controller.refusal import note_retreat
from foundry_rollouts.core.deciding.adoption import adopted, at_first_sight, stood_trial
from foundry_rollouts.core.deciding.invariants import check_pin
from foundry_rollouts.core.deciding.refused import is_silent
from foundry_rollouts.core.model.contest import because_restored
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.event import Event, number_at, of_agent
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import MAY_ARRIVE_WITHIN, READS_APART, Ending, Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing, arrived_late, is_way_back, keep_closed, routings_of
from foundry_rollouts.errors import ChangeError, CloudError, DriftError, StoreError
from foundry_rollouts.ports import AgentKnown, AgentSeen, Lease, Record, RolloutFilter, VersionStatus, World
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

#: How far back to search for the version that serves while the latest is not active.
OLDER_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class PinGuard:
    """Sees to it that the stable version serves while no rollout is under way."""

    world: World
    metrics: Metrics
    now: Callable[[], datetime]
    wheel: Wheel
    first_reads: dict[str, Ending]  #: Latest versions that seem to be at their end, by agent.
    left: dict[str, Routing]  #: The routing that an agent was left with, where this changed it.

    async def adopt(self, agent: AgentSeen, known: AgentKnown, policy: Policy, lease: Lease) -> AgentKnown:
        """At first sight, take note of the stable version and name every version in the routing."""
        if not agent.routing.is_pinned and self._may_flicker(agent):
            return known
        served = None if agent.routing.is_pinned else await self._served_by_latest(agent)
        adoption = at_first_sight(agent.routing, served, policy.on_adoption)
        if adoption is None or agent.latest is None:
            return known
        is_latest_old = agent.latest.status is VersionStatus.ACTIVE
        newest = agent.latest.version if is_latest_old else adoption.stable
        kind = "agent.adopted" if agent.routing.is_pinned else "agent.pinned"
        kept = adoption.target if adoption.is_kept else NOTHING_KEPT
        event = self._event(agent, kind, adoption.because, adoption.target)
        record = record_of_agent(event, stable=adoption.stable, newest=newest, kept=kept)
        if policy.observes:
            await self._observe(agent, adoption.stable, newest, lease)
            return replace(known, stable=adoption.stable, newest=newest)
        await self._settle(agent, adoption.target, record, lease)
        return replace(known, stable=adoption.stable, newest=newest, kept=kept)

    async def _observe(self, agent: AgentSeen, stable: str, newest: str | None, lease: Lease) -> None:
        """Take note of the stable version and leave the endpoint as it is, under a policy that observes."""
        is_pinned = agent.routing.is_pinned
        kind = "agent.adopted" if is_pinned else "agent.would_have_pinned"
        named = "" if is_pinned else f"; the endpoint follows {LATEST} and would have been pinned"
        because = f"version {stable} is the stable version from now on{named}. Nothing was moved (mode: observe)"
        event = self._event(agent, kind, because, agent.routing)
        await self.world.store.record(lease, record_of_agent(event, stable=stable, newest=newest))
        log.info(kind, agent=agent.name, because=because)

    async def guard(self, agent: AgentSeen, known: AgentKnown, stable: str, policy: Policy, lease: Lease) -> AgentKnown:
        """Answer what another hand did to the routing between rollouts; return what is known then."""
        if policy.observes:
            return await self._follow_users(agent, known, stable, lease)
        if known.is_as_recorded(agent.routing):
            return known
        if await self._is_deleted(agent.name, stable):
            return await self._go_on_without(agent, known, stable, lease)
        if not agent.routing.is_pinned:
            await self._pin(agent, stable, lease)
            return known
        drift = (
            f"no rollout is under way, yet the endpoint serves {agent.routing} and version {stable} is the stable one"
        )
        if await self._is_late_change_of_ours(agent, known, stable):
            await self._restore(agent, stable, f"{drift}: a change of ours arrived late; pinned again", lease)
        elif policy.on_drift is OnDrift.RESTORE:
            now = self.now()
            if not self.wheel.is_resting(agent.name, now):
                because = because_restored(drift, self.wheel.contest(agent.name, now), now)
                await self._restore(agent, stable, because, lease)
        elif policy.on_drift is OnDrift.ADOPT:
            return await self._adopt_drift(agent, known, drift, lease)
        else:
            because = f"{drift}: rollouts wait until it is as recorded"
            await self._tell(agent, "agent.drifted", because, lease)
        return known

    async def _follow_users(self, agent: AgentSeen, known: AgentKnown, stable: str, lease: Lease) -> AgentKnown:
        """Where nothing is moved, take the one version that the endpoint names for the stable one; else leave all."""
        named = agent.routing.weights[0][0] if len(agent.routing.weights) == 1 else LATEST
        if named in {stable, LATEST} or await self._would_have_gone_back(known, named):
            return known
        await self._observe(agent, named, known.newest, lease)
        return replace(known, stable=named)

    async def _would_have_gone_back(self, known: AgentKnown, version: str) -> bool:
        trial = next((trial for trial in await self._recent(known) if trial.canary == version), None)
        return trial is not None and trial.would_have in {Phase.ROLLED_BACK, Phase.DISABLED}

    async def _go_on_without(self, agent: AgentSeen, known: AgentKnown, stable: str, lease: Lease) -> AgentKnown:
        """Adopt what serves instead of a stable version that was deleted; say once where nothing does, and rest.

        A version that stood no trial is adopted only where it has all new sessions already.
        """
        gone = f"stable version {stable} of agent {agent.name} was deleted"
        left = Routing.of({version: weight for version, weight in agent.routing.weights if version != stable})
        trials, unnamed = await self._recent(known), left.weight(LATEST)
        served = adopted(left, None, trials) or (await self._served_by_latest(agent) if unnamed else None)
        has_all = served is not None and left.weight(served) + unnamed == 100
        if not agent.routing.is_open or served is None or not (has_all or stood_trial(served, trials)):
            because = (
                f"{gone}, the endpoint is {agent.routing}: nothing is changed until a person enables it"
                " or routes to a version"
            )
            await self._tell(agent, "agent.stable_gone", because, lease)
            return known
        target = Routing.of({served: 100})
        because = f"{gone}, the endpoint served {agent.routing}: version {served} is the stable version from now on"
        record = self._adoption(agent, because, target, served)
        await self._settle(agent, target, record, lease)
        return replace(known, stable=served, kept=NOTHING_KEPT)

    async def _recent(self, known: AgentKnown) -> Sequence[Rollout]:
        which = RolloutFilter(agent=known.name, incarnation=known.incarnation, limit=RECENT)
        return await self.world.store.rollouts(which)

    async def _adopt_drift(self, agent: AgentSeen, known: AgentKnown, drift: str, lease: Lease) -> AgentKnown:
        trials = await self._recent(known)
        stable = adopted(agent.routing, known.stable, trials) or known.stable
        if stable is None:
            return known
        target = Routing.of({stable: 100})
        because = f"{drift}: version {stable} is adopted as the stable version"
        if agent.routing.weights != target.weights:
            because += ", and all new sessions go to it"
        record = self._adoption(agent, because, target, stable)
        await self._settle(agent, target, record, lease)
        return replace(known, stable=stable, kept=NOTHING_KEPT)

    async def _is_late_change_of_ours(self, agent: AgentSeen, known: AgentKnown, stable: str) -> bool:
        """Whether the routing is one that a rollout sent, and that the cloud may have applied after its end.

        What went without an answer is known for an hour; what was answered, and applied twice, for some minutes.
        A person who goes back from the stable version is not taken for the cloud, whatever of ours is unanswered.
        """
        recent = await self._recent(known)
        if is_way_back(recent, stable, agent.routing):
            return False
        if arrived_late(recent, agent.routing, self.now() - MAY_ARRIVE_WITHIN):
            return True
        last = next((rollout for rollout in recent if rollout.ended_at is not None), None)
        if last is None or last.ended_at is None or self.now() - last.ended_at >= LATE_CHANGES:
            return False
        return agent.routing.weights in {routing.weights for routing in routings_of(last)}

    async def _tell(self, agent: AgentSeen, kind: str, because: str, lease: Lease) -> None:
        """Write a fact about an agent down, once for each routing."""
        event = of_agent(agent.name, kind, because, self.now(), because).showing(agent.routing)
        await self.world.store.record(lease, record_of_agent(event))

    def _may_flicker(self, agent: AgentSeen) -> bool:
        """Whether the latest version reads as if nothing came after, and no second read says the same yet."""
        if agent.latest is None or not agent.latest.status.is_end:
            self.first_reads.pop(agent.name, None)
            return False
        now = self.now()
        first = self.first_reads.get(agent.name)
        if first is None or (first.version, first.status) != (agent.latest.version, agent.latest.status):
            first = self.first_reads[agent.name] = Ending(agent.latest.version, agent.latest.status, now)
        return now - first.read_at < READS_APART

    async def _served_by_latest(self, agent: AgentSeen) -> str | None:
        """Return the version that ``@latest`` serves now; None while there is none."""
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

    async def _is_deleted(self, agent: str, version: str) -> bool:
        try:
            return (await self.world.cloud.version(agent, version)).status is VersionStatus.DELETED
        except CloudError as error:
            if error.is_missing:
                return True
            raise

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
            because += f". Version {agent.latest.version} may have served users untested"
        await self._restore(agent, stable, because, lease)

    async def _restore(self, agent: AgentSeen, stable: str, because: str, lease: Lease) -> None:
        """Restore the endpoint; where that happens again and again, it is reported once and then by reminders."""
        target = Routing.of({stable: 100})
        event = self._event(agent, "agent.pinned", because, target)
        is_told = self.wheel.turn(agent.name, self.now())
        record = record_of_agent(event if is_told else None, stable=stable, kept=NOTHING_KEPT)
        await self._settle(agent, target, record, lease)

    async def _settle(self, agent: AgentSeen, target: Routing, record: Record, lease: Lease) -> None:
        """Bring the endpoint to ``target``, closed where it is closed, and write ``record``.

        Raises StoreError when it was carried out and could not be written down: the next listing does it again;
        BrokenLawError when a version would get traffic that nobody chose for it.
        """
        change = Change(agent.routing, keep_closed(target, agent.routing), is_retreat=True, settings=agent.settings)
        known = await self.world.store.agent(agent.name)
        check_pin(change.before, change.target, known.stable if known else None, record.stable)
        try:
            acted = await apply_routing(self.world, lease, change, record, self.now)
        except (ChangeError, DriftError) as error:
            await self._report_refusal(lease, error)
            raise
        self.left[agent.name] = change.target
        if not acted.is_written:
            raise StoreError(f"agent {agent.name} is pinned, and the database did not record it")
        if record.event is not None:
            log.info(record.event.kind, agent=agent.name, because=record.event.because)

    async def _report_refusal(self, lease: Lease, error: ChangeError | DriftError) -> None:
        """Report that the cloud does not let an endpoint be pinned; the intent stays open and is sent again."""
        self.metrics.change_refused(lease.agent, "pin")
        intent = None if is_silent(error) else await self.world.store.intent(lease.agent)
        if intent is not None:
            await note_retreat(self.world, lease, intent, error, self.now())

    def _event(self, agent: AgentSeen, kind: str, because: str, target: Routing) -> Event:
        now = self.now()
        return of_agent(agent.name, kind, because, now, number_at(now)).showing(target)

    def _adoption(self, agent: AgentSeen, because: str, target: Routing, stable: str) -> Record:
        event = self._event(agent, "agent.adopted", because, target)
        return record_of_agent(event, stable=stable, kept=NOTHING_KEPT)
