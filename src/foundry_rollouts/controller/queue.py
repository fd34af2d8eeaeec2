"""The rollouts that wait behind the one in hand: they are told so, and obey; nothing of the cloud is read or moved."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.finish import finish_rollout
from foundry_rollouts.controller.note import event_of
from foundry_rollouts.core.deciding.decide import Situation, after, decide
from foundry_rollouts.core.deciding.invariants import Transition, check
from foundry_rollouts.core.deciding.obey import answered
from foundry_rollouts.core.deciding.queue import QUEUED
from foundry_rollouts.core.model.decision import Hold
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import Lease, Queue, Record, World
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

#: What the endpoint serves is not asked for those that wait, and stays.
NOTHING_READ = Routing(())


@dataclass(frozen=True, slots=True)
class Line:
    """Those who wait, dealt with once a tick."""

    world: World
    metrics: Metrics
    period: timedelta

    async def tend(self, lease: Lease, queue: Queue, now: datetime) -> None:
        """Let queued rollouts do what people ask of them, and let the others rest until the next tick."""
        if queue.in_hand is None or not queue.waiting:
            return
        for rollout in queue.to_tend:
            await self._tend_one(lease, rollout, now)
        await self.world.store.rest(lease, queue.in_hand.id, now, now + self.period)

    async def _tend_one(self, lease: Lease, rollout: Rollout, now: datetime) -> None:
        commands = tuple(await self.world.store.commands(rollout.id))
        seen = Situation(now=now, command=commands[0] if commands else None, waits_for=QUEUED)
        decision = decide(rollout, seen)
        then = after(rollout, decision, now)
        check(Transition(rollout, then, decision, NOTHING_READ, NOTHING_READ))
        event = None if isinstance(decision, Hold) else event_of(rollout, then, decision, now)
        then = replace(then, event_count=rollout.event_count + (event is not None))
        record = Record(
            event=event,
            rollout=then,
            obeyed=tuple(command.id for command in answered(decision, then, commands)),
            heard=tuple(command.id for command in commands),
            due_at=None if then.phase.is_final else now + self.period,
        )
        await self.world.store.record(lease, record)
        if event is not None:
            log.info(event.kind, agent=then.agent, version=then.canary, step=0, because=then.because)
        if then.phase.is_final:
            await finish_rollout(self.world, self.metrics, then, now)
