"""The schema's age: upgrade it, tell it, and refuse one that is not ours.

A release starts on its own schema only. While it runs, the next release may upgrade the database: a replica goes on
with a newer schema that still has all that it needs.

Migrations are found in the wheel, or in the repository when the package is installed from there.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.errors import SchemaError, StoreError
from foundry_rollouts.store.all_tables import metadata
from foundry_rollouts.store.engine import COMPARISON_LIMIT, Database, is_missing
from foundry_rollouts.store.schema_diff import differences, in_words

#: The advisory lock that upgrades of one PostgreSQL database take in turn; any number that is ours alone.
UPGRADE_LOCK = 7_305_117_221
#: How often a migration is tried while its tables are in use, and the seconds between two tries. A try waits for half a
#: second at most, since whoever comes later has to wait behind it.
TRIES = 60
PAUSE_SECONDS = 0.5

_UPGRADE = "run: foundry-rollouts db upgrade"
#: What PostgreSQL says of a lock that did not come in time, and of two that waited for each other.
_LOCKED_OUT = {"55P03", "40P01"}


@dataclass(frozen=True, slots=True)
class Upgrade:
    """From which revision to which: None is a database without any schema."""

    before: str | None
    after: str


async def upgrade(url: str, tell: Callable[[str], None] = lambda _: None, most_tries: int = TRIES) -> str:
    """Bring the database at ``url`` to our schema; return its revision. See ``upgraded``."""
    return (await upgraded(url, tell, most_tries)).after


async def upgraded(url: str, tell: Callable[[str], None] = lambda _: None, most_tries: int = TRIES) -> Upgrade:
    """Bring the database at ``url`` to our schema, each migration in a transaction of its own; say from where.

    Upgrades that run at the same time take turns, and what another one did in between is not done again.
    A migration whose tables are in use lets the others pass and is tried again; ``tell`` gets the first time.
    Raises StoreError when the database is away or in use for too long, or when its schema is newer than ours.
    """
    database = Database(url)
    try:
        tries = 0
        steps: list[Upgrade] = []
        while True:
            try:
                steps.append(await _step(database))
            except StoreError as error:
                if not _is_locked_out(error):
                    raise
                tries += 1
                if tries == most_tries:
                    raise StoreError(_in_use(url, tries)) from error
                if tries == 1:
                    tell("the tables are in use: waiting until they are free")
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                if steps[-1].after == newest():
                    return Upgrade(steps[0].before, newest())
    finally:
        await database.close()


async def current(url: str) -> str | None:
    """Return the revision of the database at ``url``; None when it has no schema yet."""
    if is_missing(url):
        return None
    database = Database(url)
    try:
        async with database.reading() as connection:
            return await connection.run_sync(_revision)
    finally:
        await database.close()


async def check(url: str) -> None:
    """Raise StoreError unless the database at ``url`` has our schema and its tables are as migrations left them."""
    if is_missing(url):
        raise SchemaError(f"there is no database at {url} yet; {_UPGRADE}")
    database = Database(url)
    try:
        async with database.reading(COMPARISON_LIMIT) as connection:
            await connection.run_sync(_require_ours)
    finally:
        await database.close()


async def until_ours(url: str, seconds: float, tell: Callable[[str], None] = lambda _: None) -> None:
    """Return once :func:`check` is content; after ``seconds`` raise what it raised last.

    ``tell`` gets the first reason to wait. Any reason is waited for: whoever upgrades the database may be on the way.
    """
    trouble = StoreError(f"the database did not answer within {seconds:g} s")
    is_told = False
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await check(url)
                except StoreError as error:
                    trouble = error
                if not is_told:
                    tell(f"waiting for it: {trouble}")
                is_told = True
                await asyncio.sleep(PAUSE_SECONDS)
    raise trouble


async def newer_revision(connection: AsyncConnection) -> str | None:
    """Return the revision of a newer schema; None when it is ours. Raises SchemaError for any other."""
    return await connection.run_sync(_newer)


async def require_carrying(connection: AsyncConnection) -> None:
    """Raise SchemaError unless the schema is ours, or a newer one that carries this release all the same.

    Every table is compared: give ``connection`` the time for it.
    """
    await connection.run_sync(_newer_carrying)


def newer(revision: str) -> str:
    """Return the sentence about a newer schema that carries this release."""
    return (
        f"the database was upgraded to schema {revision}; this release, of schema {newest()}, keeps using it until a"
        " replica of the new release takes its place"
    )


def migrations_folder() -> Path:
    """Return the folder that holds the migrations."""
    shipped = Path(str(files("foundry_rollouts"))) / "migrations"
    return shipped if shipped.is_dir() else Path(__file__).parents[3] / "migrations"


def newest() -> str:
    """Return the revision that this release needs."""
    return _line()[-1].revision


@cache
def _line() -> tuple[Script, ...]:
    """Return our migrations, the oldest first."""
    found = tuple(ScriptDirectory.from_config(_config()).walk_revisions())[::-1]
    if not found:
        raise StoreError(f"no migrations in {migrations_folder()}: is the installation complete?")
    return found


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _after(revision: str | None) -> tuple[Script, ...] | None:
    """Return the migrations that a schema lacks, the oldest first; None for one that is newer than ours."""
    if revision is None:
        return _line()
    places = [place for place, script in enumerate(_line()) if script.revision == revision]
    return _line()[places[0] + 1 :] if places else None


async def _step(database: Database) -> Upgrade:
    """Run the next migration, if there is one."""
    async with database.writing(is_unlimited=True) as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
        revision = await connection.run_sync(_revision)
        lacking = _after(revision)
        if lacking is None:
            raise SchemaError(_too_new(revision))
        if revision is None:
            await connection.run_sync(_refuse_strangers)
        if lacking:
            await connection.run_sync(_run, lacking[0].revision)
        return Upgrade(revision, lacking[0].revision if lacking else newest())


def _run(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _require_ours(connection: Connection) -> None:
    """Raise SchemaError unless schema and tables are those of this release."""
    if _newer_carrying(connection) is not None:
        raise SchemaError(_too_new(_revision(connection)))
    if found := differences(connection):
        raise SchemaError(
            f"the tables are not as the migrations left them: {in_words(found)}; "
            "restore the database, or fix it by hand"
        )


def _newer_carrying(connection: Connection) -> str | None:
    revision = _newer(connection)
    if revision and (harm := [each for each in differences(connection) if not each.is_harmless]):
        raise SchemaError(f"{_too_new(revision)}: this release cannot use it, because {in_words(harm)}")
    return revision


def _newer(connection: Connection) -> str | None:
    revision = _revision(connection)
    if revision is None:
        _refuse_strangers(connection)
        raise SchemaError(f"the database has no schema yet; {_UPGRADE}")
    lacking = _after(revision)
    if lacking is None:
        return revision
    if lacking:
        missing = ", ".join(f"{script.revision} ({script.doc.rstrip('.')})" for script in lacking)
        raise SchemaError(
            f"the database is at schema {revision}, this release needs {newest()}; missing: {missing}; {_UPGRADE}"
        )
    return None


def _refuse_strangers(connection: Connection) -> None:
    """Raise SchemaError when there is no revision, and yet tables of our names."""
    if there := sorted(set(inspect(connection).get_table_names()) & set(metadata.tables)):
        raise SchemaError(
            f"the database reports no schema, but it has tables with our names ({', '.join(there)}); restore it, or "
            "choose an empty one"
        )


def _too_new(revision: str | None) -> str:
    return (
        f"the database is at schema {revision}, newer than the {newest()} of this release;"
        " use the release that upgraded it"
    )


def _is_locked_out(error: StoreError) -> bool:
    cause = error.__cause__
    if not isinstance(cause, DBAPIError):
        return False
    return getattr(cause.orig, "sqlstate", None) in _LOCKED_OUT or "database is locked" in str(cause.orig)


def _in_use(url: str, tries: int) -> str:
    where = " (pg_stat_activity tells)" if url.startswith("postgres") else ""
    return f"the upgrade found its tables in use at each of {tries} tries: end what holds them{where}; then {_UPGRADE}"
