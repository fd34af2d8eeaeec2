"""Intents: what is about to be changed in the cloud, until it is confirmed and recorded."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.errors import ConflictError
from foundry_rollouts.ports import Intent, Lease
from foundry_rollouts.store.documents import INTENT
from foundry_rollouts.store.engine import insert_into
from foundry_rollouts.store.many import among, instant_text, of_rows, row_text, rows_text
from foundry_rollouts.store.tables import intents, leases

_HELD = (
    select(leases.c.agent, leases.c.fence, leases.c.replica)
    .where(among(leases.c.agent, "agents"))
    .with_for_update(skip_locked=True)
)
_OPEN = of_rows(
    (
        ("agent", "id", "opened_at", "document"),
        "INSERT INTO intents (agent, id, opened_at, document)"
        " SELECT agent, id, opened_at, document FROM ({rows}) AS new WHERE true"
        " ON CONFLICT (agent) DO UPDATE SET document = excluded.document WHERE intents.id = excluded.id"
        " RETURNING agent",
    )
)
_OF_EACH = select(intents.c.agent, intents.c.document).where(among(intents.c.agent, "agents"))


async def open_intent(connection: AsyncConnection, intent: Intent) -> None:
    """Write ``intent`` down, anew when it is open; ConflictError when another one of its agent is not settled yet."""
    document = INTENT.write(intent)
    await connection.execute(
        insert_into(connection, intents)
        .values(agent=intent.agent, id=intent.id, opened_at=intent.opened_at, document=document)
        .on_conflict_do_update(
            index_elements=[intents.c.agent], set_={"document": document}, where=intents.c.id == intent.id
        )
    )
    opened = await connection.scalar(select(intents.c.id).where(intents.c.agent == intent.agent))
    if opened != intent.id:
        raise ConflictError(
            f"agent {intent.agent} has the open intent {opened}: settle it before {intent.id} is opened"
        )


async def open_each(connection: AsyncConnection, asked: Sequence[tuple[Lease, Intent]]) -> Sequence[bool]:
    """Write intents down together; return for each whether it is open now, or has to be opened by itself.

    What another transaction has locked is left out: nobody waits for it who holds something else.
    """
    wanted = {intent.agent: (lease, intent) for lease, intent in reversed(asked)}
    leased = await connection.execute(_HELD, {"agents": list(wanted)})
    held = {row.agent: (row.fence, row.replica) for row in leased}
    rows = [
        row_text(
            {"agent": intent.agent, "id": intent.id, "opened_at": instant_text(connection, intent.opened_at)},
            to_json(INTENT.write(intent)).decode(),
        )
        for lease, intent in wanted.values()
        if held.get(intent.agent) == (lease.fence, lease.replica)
    ]
    (statement,) = _OPEN[connection.dialect.name]
    opened = set(await connection.scalars(statement, {"rows": rows_text(rows)})) if rows else set()
    return [intent.agent in opened and wanted[intent.agent][1] is intent for _, intent in asked]


async def of_agent(connection: AsyncConnection, agent: str) -> Intent | None:
    """Return the open intent of ``agent``."""
    document = await connection.scalar(select(intents.c.document).where(intents.c.agent == agent))
    return of_document(document)


async def of_each(connection: AsyncConnection, agents: Sequence[str]) -> Mapping[str, Any]:
    """Return the document of the open intent of each of ``agents`` that has one."""
    rows = await connection.execute(_OF_EACH, {"agents": agents})
    return {row.agent: row.document for row in rows}


def of_document(document: Any) -> Intent | None:
    """Return the intent that ``of_each`` found; None where there is none."""
    return INTENT.read(document) if document is not None else None


async def close(connection: AsyncConnection, intent: Intent) -> None:
    """Forget ``intent``; nothing happens when it is closed already."""
    await connection.execute(delete(intents).where(intents.c.agent == intent.agent, intents.c.id == intent.id))
