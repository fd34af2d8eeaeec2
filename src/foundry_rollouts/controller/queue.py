"""The rollouts that wait behind the current one: they say so and take commands; the cloud is not read or changed."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.finish import finish_rollout
from foundry_rollouts.controller.record import record_of
from foundry_rollouts.controller.said import words
from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.queue import QUEUED
from foundry_rollouts.core.deciding.transition import transition
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import Lease, Queue, World
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
        seen = Situation(now, commands=commands, waits_for=QUEUED, routing=NOTHING_READ, tick_interval=self.period)
        step = transition(rollout, rollout, seen)
        then, event = step.then, step.event
        # Whatever is asked of it is answered by a tick of its turn: it is checked no sooner for that.
        due_at = None if then.phase.is_final else now + self.period
        await self.world.store.record(lease, replace(record_of(step, seen), due_at=due_at, holds_queue=False))
        if event is not None:
            log.info(event.kind, **words(then), step=0, author=event.author, because=then.because)
        if then.phase.is_final:
            await finish_rollout(self.world, self.metrics, then, now)
