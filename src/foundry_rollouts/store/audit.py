"""The audit log: append only; the database itself refuses to change or delete an entry."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, insert, or_, select

from foundry_rollouts.core.model.access import Role, Way
from foundry_rollouts.core.model.audit import AuditEntry, AuditFilter, AuditOutcome
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.tables import audit


class AuditLog:
    """What is asked of the store about the audit log."""

    _database: Database

    async def append_audit(self, entry: AuditEntry) -> None:
        """Add an entry."""
        async with self._database.writing() as connection:
            await connection.execute(
                insert(audit).values(
                    id=entry.id,
                    at=entry.at,
                    author=entry.author,
                    role=entry.role,
                    way=entry.way,
                    address=entry.address,
                    action=entry.action,
                    subject=entry.subject,
                    reason=entry.reason,
                    generation=entry.generation,
                    outcome=entry.outcome.value,
                    because=entry.because,
                )
            )

    async def audit(self, which: AuditFilter) -> Sequence[AuditEntry]:
        """Return entries, newest first."""
        query = _filtered(select(audit).order_by(audit.c.seq.desc()).limit(which.limit), which)
        async with self._database.reading() as connection:
            if which.before is not None:
                last = await connection.scalar(select(audit.c.seq).where(audit.c.id == which.before))
                if last is None:
                    raise NotFoundError(f"the audit log has no entry {which.before}: begin at its first page")
                query = query.where(audit.c.seq < last)
            return [_entry(row) for row in await connection.execute(query)]


def _filtered(query: Select[Any], which: AuditFilter) -> Select[Any]:
    named = {"author": which.author, "action": which.action, "subject": which.subject, "outcome": which.outcome}
    for column, value in named.items():
        if value is not None:
            query = query.where(audit.c[column] == str(value))
    if which.since is not None:
        query = query.where(audit.c.at >= which.since)
    if which.until is not None:
        query = query.where(audit.c.at < which.until)
    if which.words is not None:
        searched = (audit.c.author, audit.c.subject, audit.c.reason, audit.c.because)
        query = query.where(or_(*(column.icontains(which.words, autoescape=True) for column in searched)))
    return query


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        author=row.author,
        role=Role(row.role) if row.role else None,
        way=Way(row.way) if row.way else None,
        address=row.address,
        action=row.action,
        subject=row.subject,
        reason=row.reason,
        generation=row.generation,
        outcome=AuditOutcome(row.outcome),
        because=row.because,
    )
