"""Rollouts: rows and back, the reading of them, and the two ways in which they are written.

The generation has two writers: commands raise it at any time, ticks when they change phase or step. Whoever comes
second counts on from what stands there, so a generation that somebody saw never stands for anything else.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Text, cast, exists, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import ConflictError, NotFoundError, OnTrialError
from foundry_rollouts.ports import RolloutFilter
from foundry_rollouts.store.documents import ROLLOUT, policy_of
from foundry_rollouts.store.engine import insert_into
from foundry_rollouts.store.many import AnyRow, among, by_agent, padded
from foundry_rollouts.store.tables import UNFINISHED, commands, evidence, rollouts

#: What a column knows better than the document.
_COLUMNS = ("phase", "generation", "incarnation", "agent")
#: A policy as ``policy_of`` takes it.
POLICY_TEXT = cast(rollouts.c.policy, Text).label("policy")
#: Evidence as ``read_text`` takes it.
EVIDENCE_TEXT = cast(evidence.c.document, Text).label("evidence")
#: Whether somebody asked for something that nobody did yet.
IS_ASKED = exists().where(commands.c.rollout == rollouts.c.id, commands.c.is_obeyed.is_(False))
#: What ``of_row`` takes.
COLUMNS = (rollouts.c.id, *(rollouts.c[name] for name in _COLUMNS), POLICY_TEXT, rollouts.c.document)
_READ = select(*COLUMNS)
#: What a document says of a phase that the release before does not know: it reads documents, and must not trip over
#: them. The column has the word that holds.
EARLIER_WORDS = {Phase.ABORTED: Phase.SUPERSEDED, Phase.OBSERVED: Phase.SUPERSEDED}
BY_ID = 500  #: Rollouts that are read by their ids at once.
_ROWS = (
    _READ.add_columns(EVIDENCE_TEXT, IS_ASKED.label("is_asked"))
    .outerjoin(evidence, evidence.c.rollout == rollouts.c.id)
    .where(among(rollouts.c.id, "ids"))
)
_OWING = (
    _READ.add_columns(rollouts.c.agent)
    .where(
        among(rollouts.c.agent, "agents"),
        rollouts.c.phase.in_([Phase.ROLLED_BACK.value, Phase.DISABLED.value]),
        rollouts.c.due_at.is_not(None),
    )
    .order_by(rollouts.c.created_at)
)
_NEWEST_FIRST = (rollouts.c.created_at.desc(), rollouts.c.id.desc())


async def one(connection: AsyncConnection, rollout: str, *, to_change: bool = False) -> Rollout:
    """Return a rollout, locked until the transaction ends when it is to be changed; raises NotFoundError."""
    query = _READ.where(rollouts.c.id == rollout)
    row = (await connection.execute(query.with_for_update() if to_change else query)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no rollout {rollout}")
    return of_row(row)


async def unfinished(connection: AsyncConnection, agent: str) -> Sequence[Rollout]:
    """Return the rollouts of ``agent`` that have not ended, oldest first."""
    query = _READ.where(rollouts.c.agent == agent, UNFINISHED).order_by(rollouts.c.created_at, rollouts.c.id)
    return await _all(connection, query)


async def by_id(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, Rollout]:
    """Return the rollouts of those ids that there are."""
    wanted, found = list(ids), dict[str, Rollout]()
    for at in range(0, len(wanted), BY_ID):
        query = _READ.where(rollouts.c.id.in_(wanted[at : at + BY_ID]))
        found |= {rollout.id: rollout for rollout in await _all(connection, query)}
    return found


async def rows(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, AnyRow]:
    """Return the rows of the rollouts of those ids, each with its evidence and whether a command waits."""
    wanted, found = sorted(ids), dict[str, AnyRow]()
    for at in range(0, len(wanted), BY_ID):
        found |= {row.id: row for row in await connection.execute(_ROWS, {"ids": wanted[at : at + BY_ID]})}
    return found


async def owing_stops(connection: AsyncConnection, agent: str) -> Sequence[Rollout]:
    """Return the ended rollouts of ``agent`` whose canary's sessions are still to be stopped."""
    return owing((await owing_rows(connection, [agent])).get(agent, ()))


async def owing_rows(connection: AsyncConnection, agents: Sequence[str]) -> Mapping[str, Sequence[AnyRow]]:
    """Return the rows of ended rollouts of ``agents`` that are still due, by their agents."""
    return by_agent(await connection.execute(_OWING, {"agents": agents}))


def owing(ended: Sequence[AnyRow]) -> Sequence[Rollout]:
    """Return the rollouts of those rows that have sessions of the canary still to be stopped."""
    return [rollout for rollout in map(of_row, ended) if rollout.owes_stops]


async def page(connection: AsyncConnection, which: RolloutFilter) -> Sequence[Rollout]:
    """Return one page of rollouts, newest first; NotFoundError when the page is to begin after an unknown one."""
    query = _filtered(_READ.order_by(*_NEWEST_FIRST).limit(which.limit), which)
    if which.before is not None:
        last = await one(connection, which.before)
        query = query.where(tuple_(rollouts.c.created_at, rollouts.c.id) < (last.created_at, last.id))
    return await _all(connection, query)


def _filtered(query: Select[Any], which: RolloutFilter) -> Select[Any]:
    named = {
        rollouts.c.agent: which.agent,
        rollouts.c.canary: which.canary,
        rollouts.c.phase: which.phase,
        rollouts.c.incarnation: which.incarnation,
        rollouts.c.policy["name"].as_string(): which.policy,
    }
    query = query.where(*(column == value for column, value in named.items() if value is not None))
    if which.is_unfinished:
        query = query.where(UNFINISHED)
    if which.since is not None:
        query = query.where(rollouts.c.created_at >= which.since)
    if which.until is not None:
        query = query.where(rollouts.c.created_at < which.until)
    if which.words is not None:
        searched = (rollouts.c.agent, rollouts.c.document["because"].as_string())
        query = query.where(or_(*(column.icontains(which.words, autoescape=True) for column in searched)))
    return query


async def add(connection: AsyncConnection, rollout: Rollout, idempotency_key: str | None) -> Rollout:
    """Add ``rollout``, due at once, and return it, or the one that the same request made before.

    Raises ConflictError when the key served another request, or the canary is on trial already.
    """
    added = await connection.scalar(
        insert_into(connection, rollouts)
        .values(
            **_written(rollout),
            policy=_documents(rollout)[0],
            due_at=None if rollout.phase.is_final else rollout.created_at,
            idempotency_key=idempotency_key,
        )
        .on_conflict_do_nothing()
        .returning(rollouts.c.id)
    )
    return rollout if added else await _earlier(connection, rollout, idempotency_key)


async def begin(connection: AsyncConnection, rollout: Rollout) -> None:
    """Add a rollout that begins with a record; nothing happens when that record was made before."""
    known = await connection.scalar(select(rollouts.c.id).where(rollouts.c.id == rollout.id))
    if known is None:
        await add(connection, rollout, idempotency_key=None)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rollout stands by its row."""

    phase: Phase
    step: int
    generation: int
    due_at: datetime | None


async def standing(connection: AsyncConnection, rollout: str) -> Standing | None:
    """Return where ``rollout`` stands, and keep commands out until the transaction ends; None: it is new."""
    columns = (rollouts.c.phase, rollouts.c.step, rollouts.c.generation, rollouts.c.due_at)
    row = (await connection.execute(select(*columns).where(rollouts.c.id == rollout).with_for_update())).one_or_none()
    return Standing(Phase(row.phase), row.step, row.generation, row.due_at) if row else None


async def save(connection: AsyncConnection, rollout: Rollout, stands: Standing | None, due_at: datetime | None) -> None:
    """Write a rollout as a tick leaves it; its generation never falls, nor does one name two states."""
    if stands is None:
        policy = _documents(rollout)[0]
        await connection.execute(insert(rollouts).values(**_written(rollout), policy=policy, due_at=due_at))
        return
    then = replace(rollout, generation=generation_after(rollout, stands))
    await connection.execute(
        update(rollouts).where(rollouts.c.id == rollout.id).values(**_written(then), due_at=due_at)
    )


def generation_after(rollout: Rollout, stands: Standing) -> int:
    """Return the generation of a rollout that a tick leaves as ``rollout``."""
    has_moved = (stands.phase, stands.step) != (rollout.phase, rollout.step)
    return max(rollout.generation, stands.generation + int(has_moved))


async def change_policy(connection: AsyncConnection, rollout: Rollout) -> None:
    """Let a rollout go by the policy that it has now: in all other writes it keeps the one that it began with."""
    policy = _documents(rollout)[0]
    await connection.execute(update(rollouts).where(rollouts.c.id == rollout.id).values(policy=policy))


async def wake(connection: AsyncConnection, ids: Sequence[str], now: datetime) -> Sequence[str]:
    """Make those rollouts that have not ended due at ``now``, and return their agents.

    A tick under way will find that it came after its read.
    """
    # In one order, so that two that wake the same ones never wait for each other in a ring.
    wanted = select(rollouts.c.id).where(rollouts.c.id.in_(padded(ids)), rollouts.c.due_at.is_not(None))
    locked = list(await connection.scalars(wanted.order_by(rollouts.c.id).with_for_update()))
    if not locked:
        return ()
    woken = update(rollouts).where(rollouts.c.id.in_(padded(locked))).values(due_at=now)
    return list(await connection.scalars(woken.returning(rollouts.c.agent)))


async def make_due(connection: AsyncConnection, agents: Sequence[str], now: datetime) -> None:
    """Make what ``agents`` have under way due now, if it was not due before; what has ended is due when it was."""
    later = (rollouts.c.agent.in_(agents), rollouts.c.due_at > now, UNFINISHED)
    await connection.execute(update(rollouts).where(*later).values(due_at=now))


async def bump_generation(connection: AsyncConnection, rollout: Rollout, now: datetime) -> Rollout:
    """Raise the generation of a rollout that is locked, and make it due now."""
    await connection.execute(
        update(rollouts).where(rollouts.c.id == rollout.id).values(generation=rollout.generation + 1, due_at=now)
    )
    return replace(rollout, generation=rollout.generation + 1)


async def _earlier(connection: AsyncConnection, rollout: Rollout, key: str | None) -> Rollout:
    """Return what the same request made before; raises ConflictError when this is another one."""
    if key is not None:
        row = (await connection.execute(_READ.where(rollouts.c.idempotency_key == key))).one_or_none()
        if row is not None:
            return _same_request(of_row(row), rollout, key)
    same = (rollouts.c.agent == rollout.agent, rollouts.c.canary == rollout.canary, UNFINISHED)
    row = (await connection.execute(_READ.where(*same))).one_or_none()
    if row is None:
        raise ConflictError(f"there is a rollout {rollout.id} already: ask again under another id")
    running = of_row(row)
    raise OnTrialError(
        f"version {running.canary} of agent {running.agent} is on trial already: rollout {running.id} is"
        f" {running.phase} at generation {running.generation}"
    )


def _same_request(made: Rollout, asked: Rollout, key: str) -> Rollout:
    def request(rollout: Rollout) -> tuple[str | None, ...]:
        return (rollout.agent, rollout.canary, rollout.policy.name, rollout.author)

    if request(made) == request(asked):
        return made
    raise ConflictError(
        f"the idempotency key {key} was used for another request: it made rollout {made.id} of version"
        f" {made.canary} of agent {made.agent}, which is {made.phase} at generation {made.generation}"
    )


async def _all(connection: AsyncConnection, query: Select[Any]) -> Sequence[Rollout]:
    return [of_row(row) for row in await connection.execute(query)]


def _written(rollout: Rollout) -> dict[str, Any]:
    """Return the columns that a record writes each time."""
    return {
        "id": rollout.id,
        "agent": rollout.agent,
        "canary": rollout.canary,
        "phase": rollout.phase.value,
        "step": rollout.step,
        "generation": rollout.generation,
        "created_at": rollout.created_at,
        "incarnation": rollout.incarnation,
        "document": _documents(rollout)[1],
    }


def document_text(rollout: Rollout) -> str:
    """Return all of a rollout but its policy, as it is written."""
    earlier = EARLIER_WORDS.get(rollout.phase)
    return ROLLOUT.text(replace(rollout, phase=earlier) if earlier else rollout)


def _documents(rollout: Rollout) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the policy, which is written once, and all the rest."""
    document = ROLLOUT.write(rollout)
    document["phase"] = EARLIER_WORDS.get(rollout.phase, rollout.phase).value
    return document.pop("policy"), document


def of_row(row: AnyRow) -> Rollout:
    """Return the rollout that a row holds."""
    known = {name: getattr(row, name) for name in _COLUMNS}
    return ROLLOUT.read({**row.document, **known, "policy": policy_of(row.policy)})
