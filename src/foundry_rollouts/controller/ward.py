"""Going back is never blocked, not by a database that is away either.

What the last tick wrote down is remembered here too. While the lease is valid nobody else acts on the agent, so a
canary that fails is taken back first and recorded when the database is there again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from foundry_rollouts.controller.act import bring_about, closed_as, confirm, while_ours
from foundry_rollouts.controller.drain import SOON, end_sessions
from foundry_rollouts.controller.existence import absent
from foundry_rollouts.controller.farewell import bid_farewell
from foundry_rollouts.controller.note import event_of
from foundry_rollouts.controller.observe import measure
from foundry_rollouts.controller.refusal import back_refused, is_resting
from foundry_rollouts.core.analysis import Analysis, Verdict
from foundry_rollouts.core.decide import after, answer_harm
from foundry_rollouts.core.decision import Disable, Fail, RollBack
from foundry_rollouts.core.evidence import Evidence
from foundry_rollouts.core.invariants import Transition, check
from foundry_rollouts.core.judge import judge
from foundry_rollouts.core.loss import lose_canary, losing, loss_of, uncounted
from foundry_rollouts.core.measurement import Measurement
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.core.routing import Routing, routing_of
from foundry_rollouts.errors import ChangeError, CloudError, DriftError, LeaseLostError
from foundry_rollouts.ports import Lease, Record, World
from foundry_rollouts.ports.urgency import Urgency, urgently
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

#: What is done without the database.
Retreat = RollBack | Disable | Fail


@dataclass(frozen=True, slots=True)
class Ward:
    """One rollout in progress as the last tick left it."""

    rollout: Rollout
    evidence: Evidence


@dataclass(slots=True)
class Watchman:
    """Watches over rollouts in progress while the database is away; ``spool`` is what it has yet to record."""

    world: World
    metrics: Metrics
    now: Callable[[], datetime]
    wards: dict[str, Ward] = field(default_factory=dict)
    spool: dict[str, tuple[Lease, Record]] = field(default_factory=dict)

    def remember(self, rollout: Rollout, evidence: Evidence | None) -> None:
        """Note how a tick left a rollout; one that ended needs no watch."""
        if rollout.phase.is_final or evidence is None:
            self.wards.pop(rollout.agent, None)
        else:
            self.wards[rollout.agent] = Ward(rollout, evidence)

    async def catch_up(self) -> None:
        """Record what was done while the database was away, unless another replica has written since.

        Raises StoreError while the database is still away.
        """
        for agent, (lease, record) in list(self.spool.items()):
            try:
                await self.world.store.record(lease, record)
                log.info("spool.recorded", agent=agent)
            except LeaseLostError as error:
                # Who took over saw the routing change and deals with it as drift; this history goes on without it.
                log.warning(
                    "spool.dropped", agent=agent, because=str(error), lost=record.event.kind if record.event else None
                )
            self.spool.pop(agent, None)

    async def watch_over(self, lease: Lease) -> None:
        """Look at a rollout without the database: take a canary back that fails, and do nothing else."""
        ward, now = self.wards.get(lease.agent), self.now()
        if ward is None or lease.agent in self.spool or now >= lease.until:
            return
        seen, analysis, measurements = await self._look(ward, now)
        move = _move(seen, analysis, now)
        if move is None or is_resting(seen.refused, (), now):
            return
        then = after(seen, move, now)
        event = event_of(seen, then, move, now)
        left = replace(then, events=seen.events + 1)
        record = Record(event, left, analysis.evidence, measurements, due_at=now + SOON if left.owes_stops else None)
        try:
            await self._take_back(lease, seen, then, move)
        except (CloudError, DriftError, LeaseLostError) as error:
            log.warning("ward.refused", agent=lease.agent, because=str(error))
            if isinstance(error, ChangeError | DriftError):
                self._let_rest(self.wards[lease.agent], routing_of(then), error)
            return
        # From here on the record outlives whatever cuts the rest off.
        self.wards.pop(lease.agent, None)
        self.spool[lease.agent] = (lease, record)
        self.spool[lease.agent] = (lease, await end_sessions(self.world.sessions, record))
        self.metrics.show(then, analysis, now)
        await bid_farewell(self.world, self.metrics, then, now)
        log.warning(event.kind, agent=lease.agent, because=then.because, database="away; recorded when it is back")

    async def _look(self, ward: Ward, now: datetime) -> tuple[Rollout, Analysis, tuple[Measurement, ...]]:
        """Return how the rollout stands by what is there and what was counted, and remember it."""
        present = await self._with_losses(ward.rollout, now)
        measurements = uncounted(present, tuple(await measure(self.world, present, now, self.metrics)))
        analysis = judge(present, ward.evidence, measurements, now)
        seen = replace(present, measured_until=now, verdict=analysis.verdict)
        self.wards[seen.agent] = Ward(seen, analysis.evidence)
        return seen, analysis, measurements

    async def _with_losses(self, rollout: Rollout, now: datetime) -> Rollout:
        """Return the rollout with what the cloud does not show; as it was where the cloud cannot be asked."""
        try:
            return losing(rollout, await absent(self.world, rollout), now)
        except CloudError as error:
            log.warning("ward.blind", agent=rollout.agent, because=str(error))
            return rollout

    def _let_rest(self, ward: Ward, target: Routing, error: ChangeError | DriftError) -> None:
        refused = back_refused(ward.rollout.refused, target, error, self.now())
        self.wards[ward.rollout.agent] = Ward(replace(ward.rollout, refused=refused), ward.evidence)

    async def _take_back(self, lease: Lease, rollout: Rollout, then: Rollout, move: Retreat) -> None:
        with urgently(Urgency.FIRST):
            agent = await self.world.cloud.agent(then.agent)
            seen = agent.routing_read()
            target = closed_as(routing_of(then), seen)
            check(Transition(rollout, then, move, seen, target))
            async with while_ours(lease, self.now):
                await bring_about(self.world.cloud, then.agent, seen, target)
            await confirm(self.world.cloud, then.agent, target, agent.settings)


def _move(rollout: Rollout, analysis: Analysis, now: datetime) -> Retreat | None:
    """Return the way back from harm, or from a canary that was deleted; None: nothing that cannot wait."""
    loss = loss_of(rollout, now)
    if loss.doubt:
        return None
    if loss.canary or loss.original:
        return lose_canary(rollout, is_made_again=loss.original)
    move = answer_harm(rollout, analysis) if analysis.verdict is Verdict.FAIL else None
    return move if isinstance(move, RollBack | Disable) else None
