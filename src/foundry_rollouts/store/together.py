"""Plain records, written together: what ticks of many agents write, in a handful of statements.

A record is plain when no command, and nothing of the agent but the weights that its intent sent, comes with its
rollout, and when nobody waits behind a rollout that ends. Whatever else turns out is left to ``ticking.write``, which
writes one record by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from pydantic_core import to_json
from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.ports import Audience, Intent, Lease, Record
from foundry_rollouts.store import commands, history, measurements
from foundry_rollouts.store.documents import EVIDENCE, MEASUREMENT, ROUTING
from foundry_rollouts.store.many import AnyRow, among, instant_text, of_rows, row_text, rows_text
from foundry_rollouts.store.rollouts import Standing, document_text, generation_after
from foundry_rollouts.store.tables import leases, rollouts
from foundry_rollouts.store.ticking import due_after

#: What a plain record may hold.
_PLAIN = {"event", "rollout", "evidence", "measurements", "heard", "due_at"}
_NOT_PLAIN = tuple(field for field in fields(Record) if field.name not in _PLAIN)

_OTHERS = rollouts.alias()
_HAS_OTHERS = exists().where(
    _OTHERS.c.agent == rollouts.c.agent,
    _OTHERS.c.id != rollouts.c.id,
    _OTHERS.c.phase.in_([phase.value for phase in Phase if not phase.is_final]),
)
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
        _HAS_OTHERS.label("has_others"),
    )
    .join(leases, leases.c.agent == rollouts.c.agent)
    .where(among(rollouts.c.id, "ids"))
    .with_for_update(of=[rollouts, leases], skip_locked=True)
)


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain record, the lease that it is written under, and the intent that it completes."""

    lease: Lease
    rollout: Rollout
    record: Record
    closes: Intent | None
    document: str
    evidence: str | None
    measurements: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Written:
    """The rows of a plain record as JSON, by their tables."""

    rollout: str
    evidence: str | None
    measurements: Sequence[str]
    agent: str | None
    intent: str | None


def plain(lease: Lease, record: Record, closes: Intent | None = None) -> Plain | None:
    """Return ``record`` as a plain one; None when it is not."""
    if record.rollout is None or any(getattr(record, field.name) != field.default for field in _NOT_PLAIN):
        return None
    rollout, evidence = record.rollout, record.evidence
    return Plain(
        lease,
        rollout,
        record,
        closes,
        document_text(rollout),
        EVIDENCE.text(evidence) if evidence is not None else None,
        tuple(map(MEASUREMENT.text, record.measurements)),
    )


async def write(connection: AsyncConnection, records: Sequence[Plain], *, audience: Audience) -> Sequence[bool]:
    """Write plain records in one go; return for each whether it is written, or has to be written by itself."""
    ids = [each.rollout.id for each in records]
    rows = {row.id: row for row in await connection.execute(_STANDS, {"ids": ids})}
    written = {each.rollout.id: each for each in reversed(records) if _may_be(each, rows.get(each.rollout.id))}
    if written:
        # The rows are locked before the commands are read, so that none can slip in between.
        waiting = await commands.waiting_for_each(connection, list(written))
        await _write(connection, [_row(connection, each, rows[id_], waiting) for id_, each in written.items()])
        added = [each.record.event for each in written.values() if each.record.event is not None]
        await history.append(connection, *added, audience=audience)
    return [written.get(each.rollout.id) is each for each in records]


def _may_be(each: Plain, row: AnyRow | None) -> bool:
    """Whether the lease is held, and nobody is to begin behind the rollout; commands may have come meanwhile."""
    if row is None or (row.agent, row.fence, row.replica) != (each.lease.agent, each.lease.fence, each.lease.replica):
        return False
    return not (each.rollout.phase.is_final and row.has_others)


def _row(connection: AsyncConnection, each: Plain, row: AnyRow, waiting: Mapping[str, Sequence[Command]]) -> _Written:
    rollout, closes = each.rollout, each.closes
    stands = Standing(Phase(row.phase), row.step, row.generation, row.due_at)
    # A command that came meanwhile raised the generation.
    generation = generation_after(rollout, stands)
    is_raised = generation != rollout.generation
    columns = {
        "id": rollout.id,
        "phase": rollout.phase.value,
        "step": rollout.step,
        "generation": generation,
        "due_at": instant_text(connection, due_after(each.record, rollout, stands, waiting.get(rollout.id, ()))),
    }
    return _Written(
        row_text(columns, document_text(replace(rollout, generation=generation)) if is_raised else each.document),
        row_text({"id": rollout.id}, each.evidence) if each.evidence is not None else None,
        _measured(connection, each),
        row_text({"name": closes.agent}, to_json(ROUTING.write(closes.target)).decode()) if closes else None,
        row_text({"agent": closes.agent, "id": closes.id}) if closes else None,
    )


def _measured(connection: AsyncConnection, each: Plain) -> Sequence[str]:
    found = each.record.measurements
    return [
        row_text(
            {
                "rollout": each.rollout.id,
                "source": measured.source,
                "starts_at": instant_text(connection, measured.window.start),
                "ends_at": instant_text(connection, ends_at),
            },
            text,
        )
        for measured, ends_at, text in zip(found, measurements.ends(found), each.measurements, strict=True)
    ]


async def _write(connection: AsyncConnection, rows: Sequence[_Written]) -> None:
    written = (
        [row.rollout for row in rows],
        [row.evidence for row in rows if row.evidence is not None],
        [measured for row in rows for measured in row.measurements],
        [row.agent for row in rows if row.agent is not None],
        [row.intent for row in rows if row.intent is not None],
    )
    for statement, values in zip(_STATEMENTS[connection.dialect.name], written, strict=True):
        if values:
            await connection.execute(statement, {"rows": rows_text(values)})


_TEXTS = (
    (
        ("id", "phase", "step", "generation", "due_at", "document"),
        "UPDATE rollouts SET phase = new.phase, step = new.step, generation = new.generation, due_at = new.due_at,"
        " document = new.document FROM ({rows}) AS new WHERE rollouts.id = new.id",
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
    (
        ("name", "document"),
        # By the order of their names, as a listing writes them.
        "INSERT INTO agents (name, is_gone, routing) SELECT name, false, document FROM ({rows}) AS new WHERE true"
        " ORDER BY name {bytewise} ON CONFLICT (name) DO UPDATE SET routing = excluded.routing",
    ),
    (
        ("agent", "id"),
        "DELETE FROM intents WHERE (agent, id) IN ({rows})",
    ),
)

_STATEMENTS = of_rows(*_TEXTS)
