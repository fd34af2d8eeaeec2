"""How Alembic runs our migrations: on the connection it is handed, or on one that it opens itself.

``foundry-rollouts db upgrade`` hands in a connection. ``alembic revision --autogenerate`` does not: it opens the
database that FOUNDRY_ROLLOUTS_DATABASE_URL names.
"""

import asyncio
import os
from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, Connection, text

from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.tables import PlainText, UTCDateTime, metadata


def render_item(kind: str, item: Any, shown: Any) -> str | Literal[False]:
    """Write our own types as the plain ones beneath them: a migration must not change when our code does."""
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, PlainText):
        return "sa.Text()"
    if kind == "type" and isinstance(item, JSON):
        shown.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


def migrate(connection: Connection) -> None:
    """Run what was asked for, with short waits: whoever comes behind a migration that waits for a lock waits as well.

    ``db upgrade`` tries again. Half a second is less than PostgreSQL takes to see two that wait for each other, so that
    it is the migration that gives way, and not a tick.
    """
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_item=render_item,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '500ms'"))
        connection.execute(text("SET LOCAL statement_timeout = '5s'"))
    with context.begin_transaction():
        context.run_migrations()


async def open_and_migrate() -> None:
    """Open the database of the environment and run what was asked for."""
    database = Database(os.environ.get("FOUNDRY_ROLLOUTS_DATABASE_URL", "sqlite:///foundry-rollouts.db"))
    try:
        async with database.writing() as connection:
            await connection.run_sync(migrate)
    finally:
        await database.close()


if context.is_offline_mode():
    raise SystemExit("migrations read the database they change: --sql is not supported")
if (handed_in := context.config.attributes.get("connection")) is not None:
    migrate(handed_in)
else:
    asyncio.run(open_and_migrate())
