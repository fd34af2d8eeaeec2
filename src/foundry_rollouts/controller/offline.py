"""Going back is never blocked, not by a database that is away either.

What the last tick wrote down is remembered here too. While the lease is valid nobody else acts on the agent, so a
canary that fails is rolled back first and recorded when the database is there again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.apply import confirm, send, within_lease
from foundry_rollouts.controller.existence import LastReads, compared
from foundry_rollouts.controller.finish import finish_rollout
from foundry_rollouts.controller.observe import measure
from foundry_rollouts.controller.record import record_of
from foundry_rollouts.controller.said import words
from foundry_rollouts.controller.stop_sessions import end_sessions
from foundry_rollouts.core.deciding.decide import Situation, on_guard, on_harm
from foundry_rollouts.core.deciding.loss import lose_canary, losing, loss_of, uncounted
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.deciding.refused import back_refused, is_resting
from foundry_rollouts.core.deciding.transition import Transition, retreat_by
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of
from foundry_rollouts.errors import BrokenLawError, ChangeError, CloudError, DriftError, LeaseLostError
from foundry_rollouts.ports import Lease, Record, World
from foundry_rollouts.ports.priority import Priority, at_priority
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LastKnown:
    """One rollout in progress as the last tick left it."""

    rollout: Rollout
    evidence: Evidence


@dataclass(slots=True)
class OfflineGuard:
    """Watches over rollouts in progress while the database is away; ``unsaved`` is what it has yet to record."""

    world: World
    metrics: Metrics
    now: Callable[[], datetime]
    last_known: dict[str, LastKnown] = field(default_factory=dict)
    unsaved: dict[str, list[tuple[Lease, Record]]] = field(default_factory=dict)
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def remember(self, rollout: Rollout, evidence: Evidence | None) -> None:
        """Note how a tick left a rollout; one that ended needs no watch."""
        if rollout.phase.is_final or evidence is None:
            self.last_known.pop(rollout.agent, None)
        else:
            self.last_known[rollout.agent] = LastKnown(rollout, evidence)

    async def flush(self) -> None:
        """Record what was done while the database was away, in that order, unless another replica has written since.

        Raises StoreError while the database is still away.
        """
        async with self._flushing:
            for agent, records in list(self.unsaved.items()):
                while records:
                    await self._write(*records[0])
                    del records[0]
                self.unsaved.pop(agent, None)

    async def _write(self, lease: Lease, record: Record) -> None:
        try:
            await self.world.store.record(lease, record)
            log.info("unsaved.recorded", agent=lease.agent)
        except LeaseLostError as error:
            # Who took over saw the routing change and deals with it as drift; this history goes on without it.
            lost = record.event.kind if record.event else None
            log.warning("unsaved.dropped", agent=lease.agent, because=str(error), lost=lost)

    async def check_offline(self, lease: Lease) -> None:
        """Look at a rollout without the database: take back a canary that fails, and do nothing else."""
        last, now = self.last_known.get(lease.agent), self.now()
        if last is None or now >= lease.until:
            return
        rollout, seen, measurements = await self._observe(last, now)
        decision = _retreat(rollout, seen)
        if decision is None or is_resting(rollout.refused, (), now):
            return
        try:
            step = await self._go_back(lease, rollout, decision, seen)
        except (CloudError, DriftError, LeaseLostError, BrokenLawError) as error:
            log.warning("offline.refused", agent=lease.agent, because=str(error))
            if isinstance(error, ChangeError | DriftError):
                self._let_rest(self.last_known[lease.agent], routing_of(after(rollout, decision, now)), error)
            return
        # From here on the record outlives whatever cuts the rest off. A canary that went back a step is watched there.
        self.remember(step.then, step.evidence)
        await self.keep(lease, record_of(step, seen, measurements))
        self.metrics.show(step.then, seen.analysis, now)
        if step.then.phase.is_final:
            await finish_rollout(self.world, self.metrics, step.then, now)
        because = step.then.because
        log.warning(decision.move.event, **words(step.then), because=because, database="away; recorded when it is back")

    async def keep(self, lease: Lease, record: Record) -> None:
        """Keep what was done and cannot be written yet, and stop the sessions that it wants stopped."""
        records = self.unsaved.setdefault(lease.agent, [])
        records.append((lease, record))
        ended = await end_sessions(self.world.sessions, record)
        if (lease, record) in records:
            records[records.index((lease, record))] = lease, ended

    async def _observe(self, last: LastKnown, now: datetime) -> tuple[Rollout, Situation, tuple[Measurement, ...]]:
        """Return how the rollout stands by what is there and what was counted, and remember it."""
        present = await self._with_losses(last.rollout, now)
        measurements = uncounted(present, tuple(await measure(self.world, present, now, self.metrics)))
        analysis = judge(present, last.evidence, measurements, now)
        rollout = replace(present, measured_until=now, verdict=analysis.verdict)
        self.last_known[rollout.agent] = LastKnown(rollout, analysis.evidence)
        return rollout, Situation(now, analysis), measurements

    async def _with_losses(self, rollout: Rollout, now: datetime) -> Rollout:
        """Return the rollout with what the cloud does not show; as it was where the cloud cannot be asked."""
        try:
            return losing(rollout, (await compared(self.world, rollout, LastReads(timedelta(0)), now)).missing, now)
        except CloudError as error:
            log.warning("offline.cloud_error", agent=rollout.agent, because=str(error))
            return rollout

    def _let_rest(self, last: LastKnown, target: Routing, error: ChangeError | DriftError) -> None:
        refused = back_refused(last.rollout.refused, target, error, self.now())
        self.last_known[last.rollout.agent] = LastKnown(replace(last.rollout, refused=refused), last.evidence)

    async def _go_back(self, lease: Lease, rollout: Rollout, decision: Decision, seen: Situation) -> Transition:
        with at_priority(Priority.ROLLBACK):
            agent = await self.world.cloud.agent(rollout.agent)
            step = retreat_by(rollout, decision, replace(seen, routing=agent.routing_read()))
            if step.is_observed:
                return step
            async with within_lease(lease, self.now):
                await send(self.world.cloud, rollout.agent, step.seen, step.target)
            await confirm(self.world, rollout.agent, step.target, agent.settings)
        return step


def _retreat(rollout: Rollout, seen: Situation) -> Decision | None:
    """Return the way back from harm, or from a canary that was deleted; None: nothing that cannot wait."""
    loss = loss_of(rollout, seen.now)
    if loss.doubt or seen.analysis is None:
        return None
    if loss.canary or loss.original:
        return lose_canary(rollout, is_made_again=loss.original)
    decision = on_harm(rollout, seen.analysis) if seen.analysis.verdict is Verdict.FAIL else None
    if decision is None and seen.analysis.guarded and not loss.stable:
        decision = on_guard(rollout, seen.analysis, seen.analysis.guarded)
    return decision if decision and decision.move in {Move.ROLL_BACK, Move.DISABLE, Move.STEP_BACK} else None
