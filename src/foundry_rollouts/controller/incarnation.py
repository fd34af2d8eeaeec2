"""An agent that was deleted and made again under its name is another agent.

Whoever reads an agent to act on it reads it here: when it is another one, nothing that is known of the old one holds.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.finish import finish_rollout
from foundry_rollouts.controller.record import record_of_agent, record_of_rollout
from foundry_rollouts.core.deciding.transition import ending
from foundry_rollouts.core.model.event import of_agent
from foundry_rollouts.core.model.incarnation import goes_back, is_another, is_same
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import AgentKnown, AgentSeen, Lease, World
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

#: How far the cloud's clock and ours may lie apart when nothing but times tell two agents apart.
CLOCKS_APART = timedelta(minutes=5)


class RecreatedError(Exception):
    """The agent is not the one that is known; ``known`` is the old one, ``seen`` the new one."""

    def __init__(self, known: AgentKnown, seen: AgentSeen) -> None:
        super().__init__(f"agent {seen.name} was deleted and made again")
        self.known = known
        self.seen = seen


async def read_agent(world: World, name: str, known: AgentKnown | None) -> AgentSeen:
    """Return the agent as the cloud shows it. Raises RecreatedError when it is another one than is ``known``."""
    seen = await world.cloud.agent(name)
    if known is not None and await is_recreated(world, known, seen):
        raise RecreatedError(known, seen)
    return seen


async def is_recreated(world: World, known: AgentKnown, seen: AgentSeen) -> bool:
    """Whether the agent is another one of the same name; where no mark tells, its stable version may."""
    same = is_same(known.marks, seen.marks)
    if same is not None:
        return not same
    latest = seen.latest.version if seen.latest else None
    is_suspect = known.is_gone or goes_back(latest, (known.newest, known.stable))
    return is_suspect and known.stable is not None and await _is_stable_another(world, known, known.stable)


async def _is_stable_another(world: World, known: AgentKnown, stable: str) -> bool:
    """Whether the stable version is missing where numbers went back, or younger than what is known of it."""
    try:
        version = await world.cloud.version(known.name, stable)
    except CloudError as error:
        if error.is_missing:
            return True
        raise
    created_at = dict(known.marks.versions).get(stable)
    if created_at is not None:
        return is_another(created_at, version.created_at)
    if version.created_at is None or known.seen_at is None:
        return False
    return version.created_at > known.seen_at + CLOCKS_APART


async def begin_anew(
    world: World, metrics: Metrics, lease: Lease, found: RecreatedError, now: Callable[[], datetime]
) -> AgentKnown:
    """Forget what is known of the old agent and end its rollouts; return what is known of the new one: nothing yet.

    Whatever is cut off in between, the next one who reads the agent does over again.
    """
    known, at = found.known, now()
    because = (
        f"agent {known.name} was deleted and made again: the new one is another agent,"
        f" {_what_was_known(known)} of the old one no longer holds"
    )
    intent = await world.store.intent(known.name)
    if intent is not None:
        await world.store.drop_intent(lease, intent)
    unfinished = await world.store.unfinished(known.name)
    for rollout in unfinished:
        if rollout.incarnation <= known.incarnation:
            end = ending(rollout, because, at)
            waiting = tuple(command.id for command in await world.store.commands(rollout.id))
            await world.store.record(lease, record_of_rollout(end.then, end.event, obeyed=waiting))
            await finish_rollout(world, metrics, end.then, at)
    incarnation = known.incarnation + 1
    event = of_agent(known.name, "agent.recreated", because, at, str(incarnation)).showing(found.seen.routing)
    # Its versions are new too: they become known when they are considered.
    marks = replace(found.seen.marks, versions=())
    await world.store.record(lease, record_of_agent(event, incarnation=incarnation, marks=marks))
    log.warning("agent.recreated", agent=known.name, because=because, ended=[each.id for each in unfinished])
    return AgentKnown(known.name, incarnation=incarnation, marks=marks)


def _what_was_known(known: AgentKnown) -> str:
    return f"what is known (stable version {known.stable})" if known.stable else "what is known"
