"""Quiet records, written together: ticks of many agents that moved nothing, in a handful of statements.

A record is quiet when its rollout stays in its phase and step, and no command and nothing of the agent comes with it;
what it has to tell, as what is waited for, is added to the history in the same transaction. Whatever else turns out is
left to ``ticking.write``, which writes one record by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from pydantic_core import to_json
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.ports import Audience, Lease, Record
from foundry_rollouts.store import commands, history, measurements
from foundry_rollouts.store.documents import EVIDENCE, MEASUREMENT
from foundry_rollouts.store.many import AnyRow, among
from foundry_rollouts.store.rollouts import Standing, document_text
from foundry_rollouts.store.tables import UTCDateTime, leases, rollouts
from foundry_rollouts.store.ticking import first, woken

#: What a quiet record may hold.
_QUIET = {"event", "rollout", "evidence", "measurements", "heard", "due_at"}
_LOUD = tuple(field for field in fields(Record) if field.name not in _QUIET)

_INSTANT = UTCDateTime()
#: Rollouts with the leases of their agents, locked until the transaction ends. What another transaction has locked is
#: left out: nobody waits for it who holds something else, so that no two can wait for each other.
_STANDS = (
    select(
        rollouts.c.id,
        rollouts.c.phase,
        rollouts.c.step,
        rollouts.c.generation,
        rollouts.c.due_at,
        leases.c.agent,
        leases.c.fence,
        leases.c.replica,
    )
    .join(leases, leases.c.agent == rollouts.c.agent)
    .where(among(rollouts.c.id, "ids"))
    .with_for_update(of=[rollouts, leases], skip_locked=True)
)


@dataclass(frozen=True, slots=True)
class Quiet:
    """A quiet record and the lease that it is written under."""

    lease: Lease
    rollout: Rollout
    record: Record
    document: str
    evidence: str | None
    measurements: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Written:
    """The rows of a quiet record as JSON, by their tables."""

    rollout: str
    evidence: str | None
    measurements: Sequence[str]


def quiet(lease: Lease, record: Record) -> Quiet | None:
    """Return ``record`` as a quiet one; None when it is not."""
    if record.rollout is None or record.rollout.phase.is_final:
        return None
    if any(getattr(record, field.name) != field.default for field in _LOUD):
        return None
    rollout, evidence = record.rollout, record.evidence
    return Quiet(
        lease,
        rollout,
        record,
        document_text(rollout),
        EVIDENCE.text(evidence) if evidence is not None else None,
        tuple(map(MEASUREMENT.text, record.measurements)),
    )


async def write(connection: AsyncConnection, records: Sequence[Quiet], *, audience: Audience) -> Sequence[bool]:
    """Write quiet records in one go; return for each whether it is written, or has to be written by itself."""
    ids = [each.rollout.id for each in records]
    rows = {row.id: row for row in await connection.execute(_STANDS, {"ids": ids})}
    written = {each.rollout.id: each for each in reversed(records) if _is_as_read(each, rows.get(each.rollout.id))}
    if written:
        # The rows are locked before the commands are read, so that none can slip in between.
        waiting = await commands.waiting_for_each(connection, list(written))
        await _write(connection, [_row(connection, each, rows[id_], waiting) for id_, each in written.items()])
    for each in written.values():
        if each.record.event is not None:
            await history.append(connection, each.record.event, audience=audience)
    return [written.get(each.rollout.id) is each for each in records]


def _is_as_read(each: Quiet, row: AnyRow | None) -> bool:
    """Whether the lease is held and the rollout stands where the tick found it; commands may have come meanwhile."""
    if row is None or (row.agent, row.fence, row.replica) != (each.lease.agent, each.lease.fence, each.lease.replica):
        return False
    is_unmoved = (row.phase, row.step) == (each.rollout.phase.value, each.rollout.step)
    return is_unmoved and row.generation >= each.rollout.generation


def _row(connection: AsyncConnection, each: Quiet, row: AnyRow, waiting: Mapping[str, Sequence[Command]]) -> _Written:
    rollout, record = each.rollout, each.record
    stands = Standing(Phase(row.phase), row.step, row.generation, row.due_at)
    overlooked = commands.overlooked(waiting.get(rollout.id, ()), rollout, record.heard)
    due_at = first(record.due_at, overlooked, woken(rollout, stands))
    # A command that came meanwhile raised the generation.
    is_raised = row.generation != rollout.generation
    document = document_text(replace(rollout, generation=row.generation)) if is_raised else each.document
    return _Written(
        _json({"id": rollout.id, "due_at": _instant(connection, due_at)}, document),
        _json({"id": rollout.id}, each.evidence) if each.evidence is not None else None,
        [
            _json(
                {
                    "rollout": rollout.id,
                    "source": measured.source,
                    "starts_at": _instant(connection, measured.window.start),
                    "ends_at": _instant(connection, ends_at),
                },
                text,
            )
            for measured, ends_at, text in zip(
                record.measurements, measurements.ends(record.measurements), each.measurements, strict=True
            )
        ],
    )


async def _write(connection: AsyncConnection, rows: Sequence[_Written]) -> None:
    written = (
        [row.rollout for row in rows],
        [row.evidence for row in rows if row.evidence is not None],
        [measured for row in rows for measured in row.measurements],
    )
    for statement, values in zip(_STATEMENTS[connection.dialect.name], written, strict=True):
        if values:
            await connection.execute(statement, {"rows": f"[{','.join(values)}]"})


def _json(columns: dict[str, str | None], document: str) -> str:
    """Return a row as JSON, whose document is written already."""
    return f'{to_json(columns).decode()[:-1]},"document":{document}}}'


def _instant(connection: AsyncConnection, at: datetime | None) -> str | None:
    """Return an instant as the database reads it from text; ValueError when it has no time zone."""
    kept = _INSTANT.process_bind_param(at, connection.dialect)
    return kept.isoformat(" ", "microseconds") if kept else None


#: How the rows come out of the one value that they are sent in, so that a statement has the same text for any number.
_ROWS = {
    "postgresql": "SELECT {names} FROM json_to_recordset(CAST(:rows AS json)) AS each_row({types})",
    "sqlite": "SELECT {values} FROM json_each(:rows)",
}
_TYPES = {"due_at": "timestamptz", "starts_at": "timestamptz", "ends_at": "timestamptz", "document": "jsonb"}
_TEXTS = (
    (
        ("id", "due_at", "document"),
        "UPDATE rollouts SET due_at = new.due_at, document = new.document FROM ({rows}) AS new"
        " WHERE rollouts.id = new.id",
    ),
    (
        ("id", "document"),
        # What stays as it was is not written anew.
        "INSERT INTO evidence (rollout, document) SELECT id, document FROM ({rows}) AS new WHERE true"
        " ON CONFLICT (rollout) DO UPDATE SET document = excluded.document"
        " WHERE evidence.document <> excluded.document",
    ),
    (
        ("rollout", "source", "starts_at", "ends_at", "document"),
        "INSERT INTO measurements (rollout, source, starts_at, ends_at, document)"
        " SELECT rollout, source, starts_at, ends_at, document FROM ({rows}) AS new WHERE true ON CONFLICT DO NOTHING",
    ),
)


def _rows_in(dialect: str, names: Sequence[str]) -> str:
    return _ROWS[dialect].format(
        names=", ".join(names),
        types=", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in names),
        values=", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names),
    )


_STATEMENTS = {
    dialect: tuple(text(statement.format(rows=_rows_in(dialect, names))) for names, statement in _TEXTS)
    for dialect in _ROWS
}
