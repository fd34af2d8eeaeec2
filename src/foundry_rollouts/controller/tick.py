"""One pass over one agent: observe, judge, decide, act, record."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.apply import apply_routing
from foundry_rollouts.controller.finish import finish_rollout
from foundry_rollouts.controller.incarnation import RecreatedError, begin_anew
from foundry_rollouts.controller.move import (
    Move,
    checked,
    due_after,
    evidence_after,
    is_harm_new,
    is_told,
    move_by,
    situation,
    with_losses,
    with_reads,
)
from foundry_rollouts.controller.note import HARMED, event_of, move_of
from foundry_rollouts.controller.observe import RECENT, Sight, look, measure
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.pin import NOTHING_KEPT
from foundry_rollouts.controller.queue import Line
from foundry_rollouts.controller.recover import Recovered, recover
from foundry_rollouts.controller.refusal import (
    event_of_refusal,
    is_silent,
    note_retreat,
    noted,
    step_refused,
    unless_refused,
)
from foundry_rollouts.controller.stop_sessions import end_sessions, end_what_is_left
from foundry_rollouts.core.deciding.adoption import adopted
from foundry_rollouts.core.deciding.decide import decide
from foundry_rollouts.core.deciding.loss import uncounted
from foundry_rollouts.core.deciding.queue import holds_queue
from foundry_rollouts.core.deciding.readiness import Readiness, with_sandboxes
from foundry_rollouts.core.deciding.unreadable import leave_alone
from foundry_rollouts.core.judging.analysis import Analysis
from foundry_rollouts.core.judging.evidence import history_of
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.decision import KINDS, Decision, Hold, Promote, Start, Supersede
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.rollout import Phase, PriorCounts, Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of
from foundry_rollouts.errors import BrokenLawError, ChangeError, CloudError, DriftError, UnreadableError
from foundry_rollouts.ports import Lease, Queue, Record, RolloutFilter, World
from foundry_rollouts.ports.priority import Priority, at_priority
from foundry_rollouts.telemetry import Metrics

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

    async def tick(self, lease: Lease) -> bool:
        """Settle what is open, then move the agent's rollout in hand by one decision, and tend those that wait.

        Returns whether the agent has rollouts left. Raises CloudError, DriftError, StoreError or LeaseLostError,
        and BrokenLawError for a step that no rollout may take; the next tick begins where this one ended.
        """
        try:
            return await self._tick(lease)
        except RecreatedError as found:
            await begin_anew(self.world, self.metrics, lease, found, self.now)
            await self._miss(lease.agent, None)
            return False

    async def _tick(self, lease: Lease) -> bool:
        recovered = Recovered(lease)
        with suppress(UnreadableError):  # What is open stays so, and the rollout in hand says why.
            recovered = await recover(self.world, lease, self.now)
        lease, settled = recovered.lease, recovered.record
        if recovered.is_refused:
            self.metrics.change_refused(lease.agent, "back" if recovered.is_waiting else "forward")
        if recovered.is_waiting:
            return True
        if settled is not None and settled.rollout is not None:
            self._show_routing(settled.rollout, routing_of(settled.rollout))
            await self._take_note(settled, settled.rollout, move_of(settled.event))
        has_more = await self._move_on(lease)
        await end_what_is_left(self.world, lease, self.now())
        return has_more

    async def _move_on(self, lease: Lease) -> bool:
        """Move the rollout in hand, the next one where it ended before its start; return whether any is left."""
        has_ended, queue = False, Queue()
        for _ in range(IN_A_ROW):
            queue = await self.world.store.queue(lease.agent)
            await self._miss(lease.agent, queue.in_hand)
            self.metrics.queued(lease.agent, queue.waiting)
            if queue.in_hand is None:
                return False
            has_ended = await self._serve(lease, queue.in_hand, queue)
            if not has_ended or queue.in_hand.step:
                break
        return not has_ended or queue.waiting > 0

    async def _serve(self, lease: Lease, rollout: Rollout, queue: Queue) -> bool:
        """Move the rollout in hand, and tend those that wait behind it; return whether the one in hand has ended."""
        now, line = self.now(), Line(self.world, self.metrics, self.period)
        try:
            has_ended = await self._move(lease, rollout, queue.newest)
        except (CloudError, DriftError, BrokenLawError):
            await line.tend(lease, queue, now)
            raise
        if not has_ended:
            await line.tend(lease, queue, now)
        return has_ended

    async def _move(self, lease: Lease, rollout: Rollout, newest: Rollout | None) -> bool:
        """Observe, judge, decide, act, record; return whether the rollout has ended."""
        now = self.now()
        before = await self._with_present_stable(rollout)
        with at_priority(Priority.BRIEF):
            sight = await look(self.world, before, newest, now)
        before = with_reads(before, sight)
        rollout = with_losses(before, sight, now)
        # Where something is missing, its sandboxes say nothing.
        readiness = None if rollout.missing else await self._readiness(rollout, sight)
        analysis, measurements = await self._judged(rollout, now, readiness)
        sight = replace(sight, readiness=readiness)
        move = checked(rollout, self._next_move(rollout, sight, analysis, now), analysis, sight)
        event = event_of(rollout, move.then, move.decision, now) if is_told(before, move, analysis) else None
        if event and isinstance(move.decision, Hold) and is_harm_new(before, move.then):
            event = replace(event, kind=HARMED)
        then = replace(move.then, event_count=rollout.event_count + (event is not None))
        record = Record(
            event=event,
            rollout=then,
            evidence=evidence_after(rollout, then, analysis),
            measurements=measurements,
            obeyed=tuple(command.id for command in move.closed),
            heard=tuple(command.id for command in sight.commands),
            due_at=due_after(move, sight, now, self.period),
            stable=await self._stable_after(then, move.decision, sight),
            kept=NOTHING_KEPT if isinstance(move.decision, Start) else None,
            holds_queue=holds_queue(then),
        )
        return await self._carry_out(lease, Doing(rollout, move, analysis, record))

    def _next_move(self, rollout: Rollout, sight: Sight, analysis: Analysis | None, now: datetime) -> Move:
        if sight.unreadable is not None:
            wait = leave_alone(rollout, analysis, sight.unreadable)
            return replace(move_by(rollout, wait, sight, analysis, now), is_withheld=True)
        decision = decide(rollout, situation(rollout, sight, analysis, now, self.period))
        return unless_refused(move_by(rollout, decision, sight, analysis, now), rollout, sight, analysis, now)

    async def _carry_out(self, lease: Lease, doing: "Doing") -> bool:
        """Act and record, or report that the cloud refuses; return whether the rollout has ended."""
        then, move = doing.record.rollout or doing.move.then, doing.move
        try:
            acted = await apply_routing(self.world, lease, move.change, doing.record, self.now)
        except (ChangeError, DriftError) as error:
            if is_silent(error):
                raise
            await self._report_refusal(lease, doing, error)
            return False
        if not acted.is_written:
            self.offline.unsaved[lease.agent] = (lease, acted.record)
            self.offline.unsaved[lease.agent] = (lease, await end_sessions(self.world.sessions, acted.record))
        self._show_routing(then, move.change.target)
        await self._take_note(acted.record, acted.record.rollout or then, type(move.decision), doing.analysis)
        return then.phase.is_final

    async def _report_refusal(self, lease: Lease, doing: "Doing", error: ChangeError | DriftError) -> None:
        """Say what the cloud said to a change, and when it is sent again; requests stay open meanwhile."""
        now, is_retreat = self.now(), doing.move.change.is_retreat
        self.metrics.change_refused(lease.agent, "back" if is_retreat else "forward")
        if is_retreat:
            intent = await self.world.store.intent(lease.agent)
            if intent is None:
                raise error
            await note_retreat(self.world, lease, intent, error, now)
            return
        stands = doing.stands
        refused = step_refused(stands, doing.move.then, error, now)
        then = noted(stands, refused, now)
        record = replace(
            doing.record,
            event=event_of_refusal(lease.agent, then, stands.refused, refused, now),
            rollout=then,
            evidence=doing.analysis.evidence if doing.analysis else None,
            obeyed=(),
            due_at=now + self.period,
            stable=None,
            kept=None,
            holds_queue=False,
        )
        await self.world.store.record(lease, record)
        log.warning("change.refused", agent=lease.agent, because=then.because)
        await self._take_note(record, then, Hold, doing.analysis)

    async def _take_note(
        self, record: Record, then: Rollout, move: type[Decision], analysis: Analysis | None = None
    ) -> None:
        """Remember and show what is recorded, and let a rollout go that has ended."""
        now = self.now()
        if then.step:
            self.offline.remember(then, record.evidence)
        self.metrics.show(then, analysis, now)
        self.metrics.decided(then.agent, move.__name__.lower())
        if move is not Hold:
            log.info(KINDS[move], agent=then.agent, version=then.canary, step=then.step, because=then.because)
        if then.phase.is_final:
            await finish_rollout(self.world, self.metrics, then, now)

    async def _miss(self, agent: str, in_hand: Rollout | None) -> None:
        """Take leave of a rollout that ended unnoticed: its end was recorded, and the database's answer was lost."""
        last = self.offline.last_known.get(agent)
        if last is None or (in_hand is not None and in_hand.id == last.rollout.id):
            return
        ended = await self.world.store.rollout(last.rollout.id)
        self.offline.remember(ended, None)
        self.metrics.show(ended, None, self.now())
        await finish_rollout(self.world, self.metrics, ended, self.now())

    async def _with_present_stable(self, rollout: Rollout) -> Rollout:
        """Before its start, a rollout goes by the version that is stable now: another one may have been promoted."""
        known = None if rollout.step else await self.world.store.agent(rollout.agent)
        if known is None or known.stable is None:
            return rollout
        trial = await self._trial_of_stable(rollout.agent, rollout.incarnation, known.stable)
        is_return = rollout.is_revert and trial is not None and trial.stable == rollout.canary
        return replace(rollout, stable=known.stable, is_revert=is_return, prior_counts=await self._history(trial))

    async def _trial_of_stable(self, agent: str, incarnation: int, stable: str) -> Rollout | None:
        """Return the trial that made the stable version so, when that was the last one that ended well."""
        promoted = RolloutFilter(agent=agent, phase=Phase.PROMOTED, incarnation=incarnation, limit=1)
        trials = await self.world.store.rollouts(promoted)
        return trials[0] if trials and trials[0].canary == stable else None

    async def _stable_after(self, then: Rollout, decision: Decision, sight: Sight) -> str | None:
        """Return the version that users have from now on; None when that stays as it is."""
        if isinstance(decision, Promote):
            return then.canary
        if isinstance(decision, Supersede) and not decision.goes_back and then.step and sight.routing:
            recent = RolloutFilter(agent=then.agent, incarnation=then.incarnation, limit=RECENT)
            return adopted(sight.routing, then.stable, await self.world.store.rollouts(recent))
        return None

    async def _history(self, trial: Rollout | None) -> tuple[PriorCounts, ...]:
        """Return what the trial of the stable version told of it."""
        return history_of(await self.world.store.evidence(trial.id)) if trial else ()

    async def _readiness(self, rollout: Rollout, sight: Sight) -> Readiness | None:
        """Return how sandboxes of both versions fare, once nothing else keeps the rollout from its first weight."""
        is_kept = sight.routing is None or sight.waits_for or sight.failure or rollout.phase is Phase.PAUSED
        if self.world.ready is None or (is_kept and not rollout.step):
            return None
        return await self.world.ready.look(rollout)

    async def _judged(
        self, rollout: Rollout, now: datetime, readiness: Readiness | None
    ) -> tuple[Analysis | None, tuple[Measurement, ...]]:
        if not rollout.step:
            return None, ()
        evidence = await self.world.store.evidence(rollout.id)
        measurements = uncounted(rollout, tuple(await measure(self.world, rollout, now, self.metrics)))
        return with_sandboxes(judge(rollout, evidence, measurements, now), rollout, readiness, now), measurements

    def _show_routing(self, then: Rollout, routing: Routing) -> None:
        is_promoted, tried = then.phase is Phase.PROMOTED, then.canary if then.step else None
        stable, canary = (then.canary, None) if is_promoted else (then.stable, tried)
        self.metrics.routing(then.agent, routing, stable=stable, canary=canary)


@dataclass(frozen=True, slots=True)
class Doing:
    """A move that is about to be carried out, with what it rests on and what is written down for it."""

    rollout: Rollout
    move: Move
    analysis: Analysis | None
    record: Record

    @property
    def stands(self) -> Rollout:
        """The rollout as it stands where the move does not come about, with what was seen."""
        if self.analysis is None:
            return self.rollout
        return replace(self.rollout, verdict=self.analysis.verdict, measured_until=self.move.then.measured_until)
