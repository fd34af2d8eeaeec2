"""The schema's age: upgrade it, tell it, and refuse one that is not ours.

Migrations are found in the wheel, or in the repository when the package is installed from there.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.errors import SchemaError, StoreError
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.tables import metadata

#: The advisory lock that upgrades of one PostgreSQL database take in turn; any number that is ours alone.
UPGRADE_LOCK = 7_305_117_221

_UPGRADE = "run: foundry-rollouts db upgrade"


async def upgrade(url: str) -> str:
    """Bring the database at ``url`` to our schema, in one transaction, and return its revision.

    Raises StoreError when the database is away, or when its schema is newer than ours.
    """
    database = Database(url)
    try:
        async with database.writing(limit=None) as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
            await connection.run_sync(_refuse_newer)
            await connection.run_sync(_upgrade)
            return newest()
    finally:
        await database.close()


async def current(url: str) -> str | None:
    """Return the revision of the database at ``url``; None when it has no schema yet."""
    database = Database(url)
    try:
        async with database.reading() as connection:
            return await connection.run_sync(_revision)
    finally:
        await database.close()


async def check(url: str) -> None:
    """Raise StoreError unless the database at ``url`` has our schema and its tables are as migrations left them."""
    database = Database(url)
    try:
        async with database.reading() as connection:
            await require_ours(connection)
            await connection.run_sync(_refuse_differences)
    finally:
        await database.close()


async def require_ours(connection: AsyncConnection) -> None:
    """Raise StoreError unless the schema is at our revision."""
    await connection.run_sync(_refuse_newer)
    revision = await connection.run_sync(_revision)
    if revision is None:
        raise SchemaError(f"the database has no schema yet; {_UPGRADE}")
    if revision != newest():
        raise SchemaError(f"the database is at schema {revision}, this release needs {newest()}; {_UPGRADE}")


def migrations_folder() -> Path:
    """Return the folder that holds the migrations."""
    shipped = Path(str(files("foundry_rollouts"))) / "migrations"
    return shipped if shipped.is_dir() else Path(__file__).parents[3] / "migrations"


@cache
def newest() -> str:
    """Return the revision that this release needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise StoreError(f"no migrations in {migrations_folder()}: is the installation whole?")
    return revision


@cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _refuse_newer(connection: Connection) -> None:
    revision = _revision(connection)
    if revision is not None and revision not in _known():
        raise SchemaError(
            f"the database is at schema {revision}, newer than the {newest()} of this release;"
            " use the release that upgraded it"
        )


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _refuse_differences(connection: Connection) -> None:
    differences = compare_metadata(MigrationContext.configure(connection), metadata)
    if differences:
        raise SchemaError(
            f"the tables are not as the migrations left them ({len(differences)} differences, the first:"
            f" {_told(differences[0])}); restore the database, or mend it by hand"
        )


def _told(difference: object) -> str:
    first = difference[0] if isinstance(difference, list) else difference
    return " ".join(str(part) for part in first if part is not None) if isinstance(first, tuple) else str(first)
