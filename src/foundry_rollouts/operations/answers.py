"""What became of a command: what was done and read back, or what it waits for."""

import asyncio
from datetime import datetime, timedelta

from foundry_rollouts.core.deciding.queue import holds_queue
from foundry_rollouts.core.model.access import is_author
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.operations.commands import way_back
from foundry_rollouts.ports import Catalogue, Store

EVERY = timedelta(milliseconds=100)
#: How long the routing may take to be read back.
READ_BACK_WITHIN = timedelta(seconds=2)

DONE = {
    Verb.ABORT: "aborted",
    Verb.PAUSE: "paused",
    Verb.RESUME: "resumed",
    Verb.PROMOTE: "promoted by one step",
    Verb.APPROVE: "approved",
}


async def settled(store: Store, asked: Command, within: timedelta) -> bool:
    """Wait until a tick has handled ``asked``, at most so long; return whether it has."""
    waited = timedelta(0)
    while True:
        if all(command.verb is not asked.verb for command in await store.commands(asked.rollout)):
            return True
        if waited >= within:
            return False
        await asyncio.sleep(EVERY.total_seconds())
        waited += EVERY


async def answer_to(store: Store, catalogue: Catalogue | None, asked: Command, now: datetime) -> str:
    """Say what came of ``asked``, with the routing as it is read back now."""
    is_done = await settled(store, asked, timedelta(0))
    rollout = await store.rollout(asked.rollout)
    seen, trouble = await _read_back(catalogue, rollout.agent)
    if not is_done:
        if rollout.phase.is_final:
            return f"{asked.verb} came too late: rollout {rollout.id} is {rollout.phase}; {way_back(rollout)}"
        why = trouble or rollout.waiting_for or "the controller's next tick"
        return f"asked to {asked.verb}, accepted and not done yet: it waits for {why}"
    where = _where(seen, trouble, now)
    return f"{_deed(asked, rollout)}{where}{await _behind(store, rollout)}"


def _deed(asked: Command, rollout: Rollout) -> str:
    if asked.verb is Verb.ABORT and rollout.phase is Phase.ABORTED:
        return "aborted before it began, nothing was moved: "
    if asked.verb is Verb.ABORT and rollout.phase is Phase.PROMOTED:
        return f"abort came too late, version {rollout.canary} is promoted; {way_back(rollout)}: "
    if rollout.phase.is_final and asked.verb is not Verb.ABORT:
        return f"rollout {rollout.id} is {rollout.phase}, {rollout.because}: "
    is_same_step = rollout.step_started_at is not None and rollout.step_started_at <= asked.at
    if asked.verb is Verb.APPROVE and rollout.needs_approvals and is_same_step:
        return _counted(asked, rollout)
    return f"{DONE[asked.verb]}: "


def _counted(asked: Command, rollout: Rollout) -> str:
    """Say of an approval that did not lead on whether it counts, and how many more are needed."""
    if any(is_author(asked.author, each.by) for each in rollout.approvals):
        return f"approved, and {rollout.approvals_missing} more must approve: "
    return f"not counted, 'foundry-rollouts rollout history {rollout.id}' says why: "


def _where(seen: Routing | None, trouble: str | None, now: datetime) -> str:
    if seen is None:
        return f"the routing cannot be read back, {trouble or 'nobody is there to ask'}"
    shares = ", ".join(f"version {version} ({weight}%)" for version, weight in seen.weights) or "no version"
    closed = "" if seen.is_open else ", and the endpoint is closed"
    return f"new sessions go to {shares}{closed}, read back at {now:%H:%M:%S} UTC"


async def _behind(store: Store, rollout: Rollout) -> str:
    """Say in one line what becomes of the queue once a person aborted the current rollout."""
    if not rollout.phase.is_final or not holds_queue(rollout):
        return ""
    next_one = (await store.queue(rollout.agent)).in_hand
    if next_one is None or not next_one.is_held:
        return ""
    return (
        f"; version {next_one.canary} was queued and waits until a person resumes it:"
        f" foundry-rollouts rollout resume {next_one.id}"
    )


async def _read_back(catalogue: Catalogue | None, agent: str) -> tuple[Routing | None, str | None]:
    if catalogue is None:
        return None, None
    try:
        async with asyncio.timeout(READ_BACK_WITHIN.total_seconds()):
            return (await catalogue.agent(agent)).routing, None
    except TimeoutError:
        return None, f"the cloud to answer: it did not within {READ_BACK_WITHIN.seconds} s"
    except CloudError as error:
        return None, f"the cloud to answer: {error}"
