"""Which ends of rollouts somebody knows of: every promise of ``ports.Acknowledgements``."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.acknowledgement import BAD_ENDS, Acknowledgement
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.ports import Audience
from foundry_rollouts.store import history
from foundry_rollouts.store import rollouts as reading
from foundry_rollouts.store.engine import Database, insert_into
from foundry_rollouts.store.tables import acknowledgements, agents, rollouts

_BAD = sorted(phase.value for phase in BAD_ENDS)
_LATER = rollouts.alias("later")


class Acknowledgements:
    """What is asked of the store about acknowledgements."""

    _database: Database
    audience: Audience

    def _wake(self) -> None:
        raise NotImplementedError

    async def acknowledge(self, rollout: str, known: Acknowledgement, event: Event) -> Acknowledgement:
        """Write down that somebody knows; said again, it changes nothing."""
        async with self._database.writing() as connection:
            added = await connection.scalar(
                insert_into(connection, acknowledgements)
                .values(rollout=rollout, at=known.at, author=known.by, reason=known.reason)
                .on_conflict_do_nothing()
                .returning(acknowledgements.c.rollout)
            )
            if added:
                await history.append(connection, event, audience=self.audience)
            first = (await _of(connection, [rollout]))[rollout]
        if added:
            self._wake()
        return first

    async def acknowledgements(self, rollouts: Sequence[str]) -> Mapping[str, Acknowledgement]:
        """Return what was said of these rollouts, where something was."""
        async with self._database.reading() as connection:
            return await _of(connection, rollouts)

    async def unacknowledged(self, agents: Sequence[str]) -> Mapping[str, Rollout]:
        """Return, of each of ``agents`` that has one, the newest bad end that nobody knows of."""
        async with self._database.reading() as connection:
            query = unknown_ends(rollouts.c.id, rollouts.c.agent).where(rollouts.c.agent.in_(agents))
            rows = await connection.execute(query.order_by(rollouts.c.created_at, rollouts.c.id))
            newest = {row.agent: row.id for row in rows}
            found = await reading.by_id(connection, newest.values())
            return {agent: found[id_] for agent, id_ in newest.items()}

    async def unacknowledged_counts(self) -> Mapping[str, int]:
        """Return how many bad ends that nobody knows of every agent has that has any."""
        async with self._database.reading() as connection:
            query = unknown_ends(rollouts.c.agent, func.count().label("number")).group_by(rollouts.c.agent)
            return {row.agent: row.number for row in await connection.execute(query)}


def unknown_ends(*columns: ColumnElement[Any]) -> Select[Any]:
    """Return the query of bad ends that neither an acknowledgement nor a promotion came after."""
    here = and_(
        agents.c.name == rollouts.c.agent,
        agents.c.incarnation == rollouts.c.incarnation,
        agents.c.is_gone.is_(False),
    )
    return (
        select(*columns)
        .join(agents, here)
        .where(rollouts.c.phase.in_(_BAD), ~exists().where(_is_not_before(), _ends_the_need()))
    )


def _is_not_before() -> ColumnElement[bool]:
    younger = or_(
        _LATER.c.created_at > rollouts.c.created_at,
        and_(_LATER.c.created_at == rollouts.c.created_at, _LATER.c.id >= rollouts.c.id),
    )
    return and_(_LATER.c.agent == rollouts.c.agent, younger)


def _ends_the_need() -> ColumnElement[bool]:
    is_known = exists().where(acknowledgements.c.rollout == _LATER.c.id)
    return or_(_LATER.c.phase == Phase.PROMOTED.value, is_known)


async def _of(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Acknowledgement]:
    query = select(acknowledgements).where(acknowledgements.c.rollout.in_(ids))
    return {row.rollout: _known(row) for row in await connection.execute(query)}


def _known(row: Row[Any]) -> Acknowledgement:
    return Acknowledgement(by=row.author, at=row.at, reason=row.reason)
