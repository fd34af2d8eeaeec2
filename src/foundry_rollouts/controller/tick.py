"""One pass over one agent: read how it stands, observe, judge, decide what follows, apply it, write it down."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
from structlog.contextvars import bound_contextvars

from foundry_rollouts.controller.apply import Change, apply_routing
from foundry_rollouts.controller.existence import LASTS, LastReads
from foundry_rollouts.controller.finish import finish_rollout
from foundry_rollouts.controller.groups import group_of, wake_group, wake_run
from foundry_rollouts.controller.incarnation import RecreatedError, begin_anew
from foundry_rollouts.controller.judged import Judged
from foundry_rollouts.controller.observe import Pass, measure, observe
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.queue import Line
from foundry_rollouts.controller.record import record_of, record_of_rollout
from foundry_rollouts.controller.recover import Recovered, recover
from foundry_rollouts.controller.refusal import note_retreat, record_of_refusal
from foundry_rollouts.controller.reins import admission_of, reins_of
from foundry_rollouts.controller.said import AGENT, about, words
from foundry_rollouts.controller.stable import stable_after_step, with_present_stable
from foundry_rollouts.controller.stop_sessions import end_what_is_left
from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.fleet import HeldError
from foundry_rollouts.core.deciding.loss import uncounted
from foundry_rollouts.core.deciding.observing import acting
from foundry_rollouts.core.deciding.readiness import Readiness, with_sandboxes
from foundry_rollouts.core.deciding.refused import is_silent
from foundry_rollouts.core.deciding.transition import Transition, transition
from foundry_rollouts.core.judging.analysis import Analysis
from foundry_rollouts.core.judging.evidence import measured_traffic
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.decision import Move, move_recorded_as
from foundry_rollouts.core.model.event import of_rollout
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of
from foundry_rollouts.errors import BrokenLawError, ChangeError, CloudError, DriftError, UnreadableError
from foundry_rollouts.ports import Intent, Lease, Queue, Record, Standing, World
from foundry_rollouts.ports.priority import Priority, at_priority
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.tracing import note, span

log = structlog.get_logger()

#: How many rollouts that end before their first weight are dealt with in one tick.
IN_A_ROW = 32


@dataclass(frozen=True, slots=True)
class Ticker:
    """Ticks agents; ``now`` is read once per pass and then handed on."""

    world: World
    metrics: Metrics
    now: Callable[[], datetime]
    period: timedelta
    offline: OfflineGuard
    due_at: dict[str, datetime] = field(default_factory=dict)  #: When agents are due again, as their ticks wrote it.
    reads: LastReads = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", LastReads(LASTS * self.period, self.period))

    async def tick(self, lease: Lease) -> bool:
        """Settle what is open, then move the agent's current rollout by one decision, and tend those that wait.

        Returns whether the agent has rollouts left. Raises CloudError, DriftError, StoreError or LeaseLostError,
        and BrokenLawError for a step that no rollout may take; the next tick begins where this one ended.
        """
        try:
            with span("tick", {AGENT: lease.agent}), bound_contextvars(agent=lease.agent):
                return await self._tick(lease)
        except RecreatedError as found:
            self.reads.forget(lease.agent)
            await begin_anew(self.world, self.metrics, lease, found, self.now)
            await self._miss(lease.agent, None)
            return False

    async def _tick(self, lease: Lease) -> bool:
        self.due_at.pop(lease.agent, None)
        standing = await self.world.store.standing(lease.agent)
        if standing.intent is not None:
            self.reads.changed(lease.agent)
            lease, is_waiting = await self._settle(lease, standing.intent)
            if is_waiting:
                return True
            standing = await self.world.store.standing(lease.agent)
        has_more = await self._move_on(lease, standing)
        if again_at := await end_what_is_left(self.world, lease, standing.owing_stops, self.now()):
            self.due_at[lease.agent] = min(again_at, self.due_at.get(lease.agent, self.now() + self.period))
        # Whoever has sessions still to stop keeps the agent.
        return has_more or lease.agent in self.due_at

    async def _settle(self, lease: Lease, intent: Intent) -> tuple[Lease, bool]:
        """Settle what is open; return the lease as it was prolonged, and whether the cloud takes no way back yet."""
        recovered = Recovered(lease)
        with suppress(UnreadableError):  # What is open stays so, and the current rollout says why.
            recovered = await recover(self.world, lease, intent, self.now)
        if recovered.is_refused:
            self.metrics.change_refused(lease.agent, "back" if recovered.is_waiting else "forward")
        settled = recovered.record
        if settled is not None and settled.rollout is not None:
            self._show_routing(settled.rollout, routing_of(settled.rollout))
            move = move_recorded_as(settled.event.kind) if settled.event else Move.HOLD
            await self._take_note(settled, settled.rollout, move)
            await wake_run(self.world, settled.rollout, self.now())
        return recovered.lease, recovered.is_waiting

    async def _move_on(self, lease: Lease, standing: Standing) -> bool:
        """Move the current rollout, or the next one where it ended before its start; return whether any is left."""
        queue = standing.queue
        for number in range(IN_A_ROW):
            standing = await self.world.store.standing(lease.agent) if number else standing
            queue = standing.queue
            await self._miss(lease.agent, queue.in_hand)
            self.metrics.queued(lease.agent, queue.waiting)
            if queue.in_hand is None:
                return False
            has_ended = await self._serve(lease, queue.in_hand, standing)
            if not has_ended or queue.in_hand.step:
                return not has_ended or queue.waiting > 0
        return queue.waiting > 0

    async def _serve(self, lease: Lease, rollout: Rollout, standing: Standing) -> bool:
        """Move the current rollout, and tend those that wait behind it; return whether the current one has ended."""
        now = self.now()
        try:
            with bound_contextvars(**words(rollout)):
                has_ended = await self._move(lease, rollout, standing)
        except (CloudError, DriftError, BrokenLawError):
            await self._tend(lease, standing.queue, now)
            raise
        if not has_ended:
            await self._tend(lease, standing.queue, now)
        return has_ended

    async def _tend(self, lease: Lease, queue: Queue, now: datetime) -> None:
        if queue.waiting:
            await Line(self.world, self.metrics, self.period).tend(lease, queue, now)

    async def _move(self, lease: Lease, rollout: Rollout, standing: Standing) -> bool:
        """Observe, judge, decide, apply, write; return whether the rollout has ended."""
        now = self.now()
        this = Pass(now, self.period, self.reads)
        if await self._begins_again(lease, rollout, now):
            return False
        rollout = await with_present_stable(self.world.store, rollout, standing)
        with at_priority(Priority.INTERACTIVE):
            noticed, seen = await observe(self.world, rollout, standing, this)
        # Where something is missing, its sandboxes say nothing.
        readiness = None if noticed.missing else await self._readiness(noticed, seen)
        analysis, measurements = await self._judged(noticed, standing, now, readiness)
        judged = Judged(analysis, measurements, readiness, self._time_needed(noticed, analysis))
        found = await self._found(noticed, judged.beside(seen))
        step = transition(rollout, noticed, found)
        if step.is_change and not await self.reads.are_as_read(self.world, noticed, now, is_retreat=step.is_retreat):
            with at_priority(Priority.INTERACTIVE):
                noticed, seen = await observe(self.world, rollout, standing, this)
            found = await self._found(noticed, judged.beside(seen))
            step = transition(rollout, noticed, found)
        try:
            return await self._apply(lease, step, found, measurements)
        except HeldError as held:
            waiting = replace(found, reins=held.reins)
            return await self._apply(lease, transition(rollout, noticed, waiting), waiting, measurements)

    async def _found(self, noticed: Rollout, seen: Situation) -> Situation:
        """Return the situation with all that holds the rollout."""
        reins = await reins_of(self.world, noticed, seen.now)
        self.metrics.calendars(self.world.calendars)
        return replace(seen, reins=reins, group=await group_of(self.world, noticed))

    async def _begins_again(self, lease: Lease, rollout: Rollout, now: datetime) -> bool:
        """Begin a rollout again that was observed, where its policy acts by now; return whether it does."""
        policy = self.world.policies.policy_for(rollout.agent) if rollout.policy.observes else None
        if policy is None or policy.observes:
            return False
        anew = acting(rollout, policy)
        event = of_rollout(rollout, "rollout.began_again", anew.because, now)
        record = replace(record_of_rollout(anew, event, due_at=now), has_new_policy=True)
        await self.world.store.record(lease, record)
        self.offline.remember(anew, None)
        log.info(event.kind, **words(anew), because=anew.because)
        return True

    async def _apply(
        self, lease: Lease, step: Transition, seen: Situation, measurements: tuple[Measurement, ...]
    ) -> bool:
        """Apply and write, or report that the cloud refuses; return whether the rollout has ended.

        Raises HeldError, with nothing done, where a start has to wait for those of other agents after all.
        """
        record = record_of(step, seen, measurements, await stable_after_step(self.world.store, step, seen))
        is_urgent, admission = step.decision.move is Move.STEP_BACK, admission_of(self.world, step, seen.now)
        change = Change(step.seen, step.target, step.is_retreat, seen.settings, is_urgent, admission)
        if step.is_change:
            self.reads.changed(lease.agent)
        try:
            applied = await apply_routing(self.world, lease, change, record, self.now)
        except (ChangeError, DriftError) as error:
            if is_silent(error):
                raise
            await self._report_refusal(lease, step, record, error)
            return False
        if not applied.is_written:
            await self.offline.keep(lease, applied.record)
        self._show_routing(step.then, step.target)
        await self._take_note(applied.record, applied.record.rollout or step.then, step.decision.move, step.analysis)
        if applied.is_written:
            await wake_group(self.world, step, self.now())
        return step.then.phase.is_final

    async def _report_refusal(
        self, lease: Lease, step: Transition, record: Record, error: ChangeError | DriftError
    ) -> None:
        """Say what the cloud said to a change, and when it is sent again; commands stay open meanwhile."""
        self.metrics.change_refused(lease.agent, "back" if step.is_retreat else "forward")
        if step.is_retreat:
            intent = await self.world.store.intent(lease.agent)
            if intent is None:
                raise error
            await note_retreat(self.world, lease, intent, error, self.now())
            return
        refused = record_of_refusal(step, record, error, self.now(), self.period)
        await self.world.store.record(lease, refused)
        then = refused.rollout or step.before
        log.warning("change.refused", agent=lease.agent, because=then.because)
        await self._take_note(refused, then, Move.HOLD, step.analysis)

    async def _take_note(self, record: Record, then: Rollout, move: Move, analysis: Analysis | None = None) -> None:
        """Remember and show what is recorded, and let a rollout go that has ended."""
        now = self.now()
        self.due_at.pop(then.agent, None)
        if record.due_at is not None:
            self.due_at[then.agent] = record.due_at
        if then.step:
            self.offline.remember(then, record.evidence)
        self.metrics.show(then, analysis, now)
        note({**about(then), "foundry_rollouts.decision": move.value, "foundry_rollouts.because": then.because})
        if then.policy.observes:
            self.metrics.would_have(then.agent, move)
        else:
            self.metrics.decided(then.agent, move)
        self.metrics.measured(then.agent, record.measurements)
        if move.event is not None:
            author = record.event.author if record.event else None
            log.info(
                record.event.kind if record.event else move.event,
                **words(then),
                step=then.step,
                author=author,
                because=then.because,
            )
        if then.phase.is_final:
            self.reads.forget(then.agent)
            await finish_rollout(self.world, self.metrics, then, now)

    async def _miss(self, agent: str, in_hand: Rollout | None) -> None:
        """Finish a rollout that ended unnoticed: its end was recorded, and the database's answer was lost."""
        last = self.offline.last_known.get(agent)
        if last is None or (in_hand is not None and in_hand.id == last.rollout.id):
            return
        ended = await self.world.store.rollout(last.rollout.id)
        self.offline.remember(ended, None)
        self.metrics.show(ended, None, self.now())
        await finish_rollout(self.world, self.metrics, ended, self.now())

    async def _readiness(self, rollout: Rollout, seen: Situation) -> Readiness | None:
        """Return how sandboxes of both versions fare, once nothing else keeps the rollout from its first weight."""
        is_kept = seen.routing is None or seen.waits_for or seen.failure or rollout.phase is Phase.PAUSED
        if self.world.ready is None or (is_kept and not rollout.step):
            return None
        return await self.world.ready.check(rollout)

    def _time_needed(self, rollout: Rollout, analysis: Analysis | None) -> str | None:
        """Return how long the rollout takes at the traffic that was measured, once in its first step."""
        if self.world.time_needed is None or analysis is None or rollout.is_time_told or rollout.step != 1:
            return None
        traffic = measured_traffic(analysis.evidence)
        return self.world.time_needed(rollout.policy, *traffic) if traffic else None

    async def _judged(
        self, rollout: Rollout, standing: Standing, now: datetime, readiness: Readiness | None
    ) -> tuple[Analysis | None, tuple[Measurement, ...]]:
        if not rollout.step or standing.evidence is None:
            return None, ()
        measurements = uncounted(rollout, tuple(await measure(self.world, rollout, now, self.metrics)))
        analysis = judge(rollout, standing.evidence, measurements, now, self.period)
        return with_sandboxes(analysis, rollout, readiness, now), measurements

    def _show_routing(self, then: Rollout, routing: Routing) -> None:
        if then.phase is Phase.PROMOTED:
            self.metrics.routing(then.agent, routing, stable=then.canary, canary=None)
        else:
            self.metrics.routing(then.agent, routing, stable=then.stable, canary=then.canary if then.step else None)
