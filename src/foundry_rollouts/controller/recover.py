"""Settle an intent that an earlier process, or an earlier try, left open.

The routing now seen tells how far it came: where it was sent to, it is recorded. Where it was not, the change is sent
again, so that an answer that comes late finds nothing else; only a step forward that has grown old, that the cloud does
not take, or that a person stopped meanwhile, is forgotten, for it has to be decided anew on fresh evidence, and harm is
not to wait for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.apply import confirm, send, with_unconfirmed, within_lease
from foundry_rollouts.controller.endpoint_settings import keep_settings, tell_kept
from foundry_rollouts.controller.existence import is_gone
from foundry_rollouts.controller.incarnation import read_agent
from foundry_rollouts.controller.record import record_of_rollout
from foundry_rollouts.controller.refusal import note_retreat
from foundry_rollouts.controller.stop_sessions import end_sessions
from foundry_rollouts.core.deciding.loss import SURE_AFTER, loss_of, missed, stable_is_gone
from foundry_rollouts.core.deciding.refused import Refusal, event_of_refusal, is_resting, noted, step_refused
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.event import HELD, of_rollout
from foundry_rollouts.core.model.rollout import Missing, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import ChangeError, CloudError, DriftError, LeaseLostError
from foundry_rollouts.ports import AgentSeen, Intent, Lease, Record, World
from foundry_rollouts.ports.priority import Priority, at_priority

log = structlog.get_logger()

#: A step forward that could not be taken for so long rests on old evidence.
FORWARD_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came of an open intent, under the lease as it was prolonged meanwhile."""

    lease: Lease
    record: Record | None = None  #: What was written down for it, as the first would have done.
    is_waiting: bool = False  #: The cloud does not take a way back: nothing else is to be done before it does.
    is_refused: bool = False  #: It was refused just now.


async def recover(world: World, lease: Lease, intent: Intent, now: Callable[[], datetime]) -> Recovered:
    """Settle ``intent``, the open one of an agent.

    Raises CloudError while the cloud cannot be read, LeaseLostError when it is no longer ours to settle,
    RecreatedError when the agent is not the one that the intent was for.
    """
    if intent.is_retreat and await _rests(world, intent, now()):
        return Recovered(lease, is_waiting=True)
    return await _settle(world, await _prolonged(world, lease, now()), intent, now)


async def _rests(world: World, intent: Intent, now: datetime) -> bool:
    planned = intent.record.rollout
    commands = await world.store.commands(planned.id) if planned and intent.refused else ()
    return is_resting(intent.refused, commands, now)


async def _settle(world: World, lease: Lease, intent: Intent, now: Callable[[], datetime]) -> Recovered:
    agent = await _agent(world, intent)
    if agent is None:
        await _drop(world, lease, intent, now())
        log.info("intent.dropped", agent=lease.agent, intent=intent.id, because="the agent is gone")
        return Recovered(lease)
    seen = agent.routing_read()
    stands = await _standing(world, intent)
    if stands is not None and stands.phase.is_final and not intent.is_retreat:
        # A canary was rolled back without a database while its step forward was open.
        await _drop(world, lease, intent, now())
        log.info("intent.overtaken", agent=lease.agent, intent=intent.id, routing=str(seen))
        return Recovered(lease)
    if seen == intent.target:
        report = await keep_settings(world.cloud, agent, seen, intent.settings)
        return Recovered(lease, await _complete(world, lease, intent, report))
    if intent.is_retreat:
        return await _go_back(world, lease, intent, seen, now)
    if stands is not None and is_resting(stands.refused, (), now()):
        await _drop(world, lease, intent, now())
        log.info("intent.dropped", agent=lease.agent, intent=intent.id, routing=str(seen), because="it was refused")
        return Recovered(lease)
    return await _go_forward(world, lease, intent, seen, now)


async def _standing(world: World, intent: Intent) -> Rollout | None:
    planned = intent.record.rollout
    return await world.store.rollout(planned.id) if planned else None


async def _agent(world: World, intent: Intent) -> AgentSeen | None:
    """Return the agent as it is now; None when the cloud shows it no more."""
    try:
        with at_priority(Priority.ROLLBACK if intent.is_retreat else Priority.INTERACTIVE):
            return await read_agent(world, intent.agent, await world.store.agent(intent.agent))
    except CloudError as error:
        if error.is_missing:
            return None
        raise


async def _prolonged(world: World, lease: Lease, now: datetime) -> Lease:
    kept = await world.store.renew([lease], now)
    if not kept:
        raise LeaseLostError(f"the lease of agent {lease.agent} was lost before its intent could be settled")
    return kept[0]


async def _drop(world: World, lease: Lease, intent: Intent, now: datetime, error: Refusal | None = None) -> None:
    """Forget what was wanted, but not that it may have been sent, nor what the cloud said to it."""
    planned = intent.record.rollout
    if planned is None:
        await world.store.drop_intent(lease, intent)
        return
    rollout, event = await world.store.rollout(planned.id), None
    if error is not None:
        refused = step_refused(rollout, planned, error, now)
        rollout, before = noted(rollout, refused, now), rollout.refused
        event = event_of_refusal(lease.agent, rollout, before, refused, now)
    stands = record_of_rollout(rollout, event, due_at=now)
    await world.store.record(lease, with_unconfirmed(stands, intent), closes=intent)


async def _complete(world: World, lease: Lease, intent: Intent, report: str | None) -> Record:
    record = with_unconfirmed(intent.record, intent)
    if record.rollout is not None and record.rollout.phase.is_final:
        # The end answers whatever was asked since it was decided.
        commands = await world.store.commands(record.rollout.id)
        record = replace(record, obeyed=(*record.obeyed, *(command.id for command in commands)))
    record = await end_sessions(world.sessions, record)
    await world.store.record(lease, record, closes=intent)
    await tell_kept(world, lease, intent.id, report, intent.opened_at)
    log.info("intent.completed", agent=lease.agent, intent=intent.id, routing=str(intent.target))
    return record


async def _go_forward(
    world: World, lease: Lease, intent: Intent, seen: Routing, now: Callable[[], datetime]
) -> Recovered:
    """Try once more, briefly; a step that the cloud does not take is forgotten, and the next tick continues.

    So is one that a person did not want any more before it was taken.
    """
    because, refusal = "it is too old, or the routing has changed", None
    stop = await _stop_asked(world, intent, seen)
    if stop is not None:
        because = stop.because
    elif seen == intent.before and now() - intent.opened_at < FORWARD_WITHIN:
        try:
            with at_priority(Priority.INTERACTIVE):
                report = await _send_again(world, lease, intent, seen, now)
        except (CloudError, DriftError) as error:
            because, refusal = str(error), error if isinstance(error, Refusal) else None
        else:
            return Recovered(lease, await _complete(world, lease, intent, report))
        lease, intent = await _prolonged(world, lease, now()), replace(intent, opened_at=now())
    await _drop(world, lease, intent, now(), refusal)
    log.info("intent.dropped", agent=lease.agent, intent=intent.id, routing=str(seen), because=because)
    return Recovered(lease, is_refused=refusal is not None)


async def _stop_asked(world: World, intent: Intent, seen: Routing) -> Command | None:
    """Return what a person asked of the rollout, and nobody obeyed yet, that keeps its canary from getting more."""
    planned = intent.record.rollout
    if planned is None or intent.target.weight(planned.canary) <= seen.weight(planned.canary):
        return None
    open_commands = await world.store.commands(planned.id)
    return next((each for each in open_commands if each.verb in {Verb.ABORT, Verb.PAUSE}), None)


async def _go_back(world: World, lease: Lease, intent: Intent, seen: Routing, now: Callable[[], datetime]) -> Recovered:
    try:
        with at_priority(Priority.ROLLBACK):
            report = await _send_again(world, lease, intent, seen, now)
    except (ChangeError, DriftError) as error:
        status = error.refusal.status if isinstance(error, ChangeError) else None
        if status in {400, 404} and await _is_stable_gone(world, lease, intent, now()):
            return Recovered(lease, await _go_on_without_stable(world, lease, intent, now()))
        if status in {400, 404} and intent.record.rollout is None and await _has_gone_version(world, intent):
            # The pin guard says so at its next check, and asks for nothing that cannot be.
            await _drop(world, lease, intent, now())
            log.info("intent.dropped", agent=lease.agent, intent=intent.id, because=str(error))
            return Recovered(lease)
        await note_retreat(world, lease, intent, error, now())
        return Recovered(lease, is_waiting=True, is_refused=True)
    return Recovered(lease, await _complete(world, lease, intent, report))


async def _send_again(
    world: World, lease: Lease, intent: Intent, seen: Routing, now: Callable[[], datetime]
) -> str | None:
    async with within_lease(lease, now):
        await send(world.cloud, lease.agent, seen, intent.target)
    return await confirm(world, lease.agent, intent.target, intent.settings)


async def _is_stable_gone(world: World, lease: Lease, intent: Intent, now: datetime) -> bool:
    """Whether two reads say that there is no stable version any more; the first is remembered with the rollout."""
    rollout = intent.record.rollout
    if not intent.is_retreat or rollout is None or rollout.stable is None:
        return False
    if not await is_gone(world, intent.agent, rollout.stable):
        return False
    stands = await world.store.rollout(rollout.id)
    seen = replace(stands, missing=missed(stands, (rollout.stable,), now))
    if loss_of(seen, now).stable:
        return True
    await world.store.record(lease, record_of_rollout(seen, due_at=now + SURE_AFTER))
    return False


async def _has_gone_version(world: World, intent: Intent) -> bool:
    return any([await is_gone(world, intent.agent, version) for version, _ in intent.target.weights])


async def _go_on_without_stable(world: World, lease: Lease, intent: Intent, now: datetime) -> Record | None:
    """Note that there is no version to go back to; the next tick decides on the same evidence what is left."""
    planned = intent.record.rollout
    if planned is None:
        return None
    rollout = await world.store.rollout(planned.id)
    because = stable_is_gone(rollout)
    missing = (Missing(rollout.stable or "", now - SURE_AFTER),)
    event = of_rollout(rollout, HELD, because, now)
    left = replace(rollout, is_stable_gone=True, missing=missing, because=because, event_count=rollout.event_count + 1)
    record = record_of_rollout(left, event, evidence=intent.record.evidence, due_at=now)
    await world.store.record(lease, record, closes=intent)
    log.warning("stable.gone", agent=lease.agent, because=because)
    return record
