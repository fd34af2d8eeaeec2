"""Stops of the line and holds of agents: every promise of ``ports.BrakeBook``.

Who puts one on or takes one off locks the table first: two people at once take turns, and each sees what the other
did. Reading waits for neither.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.brake import (
    Brake,
    BrakeKind,
    Scope,
    of_expiring,
    of_putting_on,
    of_taking_off,
)
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.ports import Audience
from foundry_rollouts.store import history
from foundry_rollouts.store.brake_table import brakes
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.wakeups import Bell

_STANDING = brakes.c.ended_at.is_(None)


class Brakes:
    """What is asked of the store about brakes."""

    _database: Database
    _bell: Bell
    audience: Audience

    def _wake(self) -> None:
        raise NotImplementedError

    async def brakes(self) -> Sequence[Brake]:
        """Return those that nobody ended yet, the oldest first; the time of some may be over."""
        async with self._database.reading() as connection:
            return await _standing(connection)

    async def ended_brakes(self, kind: BrakeKind, limit: int) -> Sequence[Brake]:
        """Return those of a kind that ended last, the newest first."""
        query = select(brakes).where(brakes.c.kind == kind.value, ~_STANDING).order_by(brakes.c.ended_at.desc())
        async with self._database.reading() as connection:
            return [_brake(row) for row in await connection.execute(query.limit(limit))]

    async def put_on(self, brake: Brake) -> Brake:
        """Put ``brake`` on; the same by the same author for the same reason only gets its end."""
        async with self._database.writing() as connection:
            await _lock(connection)
            there = [each for each in await _standing(connection, brake.scope) if each.is_on(brake.since)]
            if other := next((each for each in there if each.version != brake.version), None):
                raise ConflictError(f"{other.because}: end that hold first, then hold version {brake.version}")
            same = next((each for each in there if (each.author, each.reason) == (brake.author, brake.reason)), None)
            if same is not None and same.until == brake.until:
                return same
            found = brake if same is None else replace(same, until=brake.until)
            await connection.execute(
                insert(brakes).values(**_columns(brake))
                if same is None
                else update(brakes).where(brakes.c.id == same.id).values(until=brake.until)
            )
            await self._say(connection, [replace(of_putting_on(found), at=brake.since)])
        self._ring()
        return found

    async def take_off(self, scope: Scope, at: datetime, author: str, reason: str | None) -> Sequence[Brake]:
        """End all that stand on ``scope``, and return them as they stood."""
        async with self._database.writing() as connection:
            await _lock(connection)
            ended = [each for each in await _standing(connection, scope) if each.is_on(at)]
            if not ended:
                return ended
            await _end(connection, ended, at, author)
            await self._say(connection, [of_taking_off(each, at, author, reason) for each in ended])
        self._ring()
        return ended

    async def expire_brakes(self, now: datetime) -> Sequence[Brake]:
        """End those whose time is over, and say so; return them."""
        async with self._database.writing() as connection:
            await _lock(connection)
            over = [each for each in await _standing(connection) if not each.is_on(now)]
            for each in over:
                await _end(connection, [each], each.until or now, None)
            await self._say(connection, [of_expiring(each) for each in over])
        if over:
            self._ring()
        return over

    async def _say(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        for event in events:
            await history.append(connection, event, audience=self.audience)

    def _ring(self) -> None:
        """Let every replica read at once what stands."""
        self._bell.ring_for_all()
        self._wake()


async def _lock(connection: AsyncConnection) -> None:
    """Let others who write wait; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE brakes IN SHARE ROW EXCLUSIVE MODE"))


async def _standing(connection: AsyncConnection, scope: Scope | None = None) -> list[Brake]:
    query = select(brakes).where(_STANDING).order_by(brakes.c.since, brakes.c.id)
    if scope is not None:
        query = query.where(*_is_on(scope))
    return [_brake(row) for row in await connection.execute(query)]


def _is_on(scope: Scope) -> tuple[ColumnElement[bool], ...]:
    return brakes.c.kind == scope.kind.value, brakes.c.project == scope.project, brakes.c.agent == scope.agent


async def _end(connection: AsyncConnection, ended: Sequence[Brake], at: datetime, author: str | None) -> None:
    ids = [each.id for each in ended]
    await connection.execute(update(brakes).where(brakes.c.id.in_(ids)).values(ended_at=at, ended_by=author))


def _columns(brake: Brake) -> dict[str, Any]:
    scope = brake.scope
    return {
        "id": brake.id,
        "kind": scope.kind.value,
        "project": scope.project,
        "agent": scope.agent,
        "version": brake.version,
        "reason": brake.reason,
        "author": brake.author,
        "since": brake.since,
        "until": brake.until,
    }


def _brake(row: Row[Any]) -> Brake:
    return Brake(
        id=row.id,
        scope=Scope(BrakeKind(row.kind), row.project, row.agent),
        reason=row.reason,
        author=row.author,
        since=row.since,
        until=row.until,
        version=row.version,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )
