"""What people asked of rollouts; a command waits here until a tick obeys it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.deciding.approving import has_guards
from foundry_rollouts.core.model.access import is_same_person
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.store import rollouts
from foundry_rollouts.store.many import among
from foundry_rollouts.store.tables import commands

_WAITING = select(commands).where(among(commands.c.rollout, "ids"), commands.c.is_obeyed.is_(False))


async def accept(connection: AsyncConnection, command: Command) -> Rollout:
    """Add ``command`` and return the rollout, due at once; a repeated request changes nothing."""
    rollout = await rollouts.one(connection, command.rollout, to_change=True)
    if await _is_repeated(connection, command, rollout):
        return rollout
    await _refuse(connection, command, rollout)
    await connection.execute(
        insert(commands).values(
            id=command.id,
            rollout=command.rollout,
            verb=command.verb.value,
            generation=command.generation,
            at=command.at,
            author=command.author,
            reason=command.reason,
            idempotency_key=command.idempotency_key,
            is_obeyed=False,
            about=rollout.asked_about if command.verb is Verb.APPROVE else None,
        )
    )
    return await rollouts.bump_generation(connection, rollout, command.at)


async def waiting(connection: AsyncConnection, rollout: str) -> Sequence[Command]:
    """Return the commands that nobody obeyed yet, the most urgent first, of one verb the oldest first."""
    return (await waiting_for_each(connection, [rollout])).get(rollout, [])


async def waiting_for_each(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Sequence[Command]]:
    """Return what ``waiting`` does for each rollout of those ids where there is something."""
    found = defaultdict[str, list[Command]](list)
    for row in await connection.execute(_WAITING, {"ids": ids}):
        found[row.rollout].append(_command(row))
    return {id_: sorted(asked, key=lambda each: (each.verb.urgency, each.generation)) for id_, asked in found.items()}


async def obey(connection: AsyncConnection, obeyed: Sequence[str]) -> None:
    """Mark commands, by their ids, that need no more attention."""
    if obeyed:
        await connection.execute(update(commands).where(commands.c.id.in_(obeyed)).values(is_obeyed=True))


def overlooked(waiting: Sequence[Command], rollout: Rollout, heard: Sequence[str] = ()) -> datetime | None:
    """Return when the first command came that the tick which leaves ``rollout`` may not have seen; None: no such.

    The tick began at the generation of ``rollout`` or, when it raised it itself, at the one before; a command that
    named an older generation was there before the tick was, and what it ``heard`` was considered.
    """
    unheard = [each.at for each in waiting if each.generation >= rollout.generation - 1 and each.id not in heard]
    return min(unheard, default=None)


async def _is_repeated(connection: AsyncConnection, command: Command, rollout: Rollout) -> bool:
    if command.idempotency_key is None:
        return False
    row = (
        await connection.execute(
            select(commands).where(
                commands.c.rollout == command.rollout,
                commands.c.verb == command.verb.value,
                commands.c.idempotency_key == command.idempotency_key,
            )
        )
    ).one_or_none()
    if row is None:
        return False
    if (row.generation, row.author, row.reason) == (command.generation, command.author, command.reason):
        return True
    raise ConflictError(
        f"the idempotency key {command.idempotency_key} was used for another request to {command.verb}"
        f" at generation {row.generation}; {_as_it_is(rollout)}"
    )


async def _refuse(connection: AsyncConnection, command: Command, rollout: Rollout) -> None:
    """Raise ConflictError unless the rollout is as the author of ``command`` saw it."""
    if rollout.phase.is_final:
        raise ConflictError(f"{command.verb} comes too late: {_as_it_is(rollout)}")
    if command.generation != rollout.generation:
        raise ConflictError(
            f"{command.verb} names generation {command.generation}, but {_as_it_is(rollout)}: read it again"
        )
    if command.about not in {None, rollout.asked_about}:
        raise ConflictError(
            f"what is to be approved was changed since it was read ({command.about}): {_as_it_is(rollout)}"
        )
    is_counted = command.verb is Verb.APPROVE and has_guards(rollout)
    for other in await waiting(connection, rollout.id):
        is_another = is_counted and not is_same_person(other.author, command.author)
        if other.verb is command.verb and not is_another:
            raise ConflictError(
                f"{other.author} asked to {other.verb} already and that is not done yet; {_as_it_is(rollout)}"
            )


def _as_it_is(rollout: Rollout) -> str:
    return f"rollout {rollout.id} is {rollout.phase} at generation {rollout.generation}"


def _command(row: Row[Any]) -> Command:
    return Command(
        id=row.id,
        rollout=row.rollout,
        verb=Verb(row.verb),
        generation=row.generation,
        at=row.at,
        author=row.author,
        reason=row.reason,
        idempotency_key=row.idempotency_key,
        about=row.about,
    )
