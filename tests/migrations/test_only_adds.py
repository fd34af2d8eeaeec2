"""Each migration only adds: the release before it goes on, and nobody waits for long while it runs."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import text

from databases import writing
from foundry_rollouts.store import schema
from schemas import (
    FILES,
    LOCKS,
    LONG_LOCKS,
    Shape,
    bring_to,
    broken_promises,
    fill,
    reflected,
    revisions,
    rows,
    run_migrations,
    shape_of,
)

STEPS = list(pairwise(revisions()))


async def shapes(url: str, before: str, after: str, folder: Path | None = None) -> tuple[Shape, Shape]:
    """Return what the database has before a migration, and after it."""
    await bring_to(url, before)
    async with writing(url) as connection:
        had = await connection.run_sync(shape_of)
        await connection.run_sync(run_migrations, after, folder)
        return had, await connection.run_sync(shape_of)


async def delays(url: str, before: str, after: str, folder: Path | None = None) -> list[str]:
    """Return what a migration does to tables that are there that takes the longer the larger they are."""
    await bring_to(url, before)
    async with writing(url) as connection:
        files = {name: file for name, file in await connection.execute(text(FILES)) if name != "alembic_version"}
        await connection.run_sync(run_migrations, after, folder)
        held = [(table, mode) for table, mode in await connection.execute(text(LOCKS)) if table in files]
        now = {name: file for name, file in await connection.execute(text(FILES)) if name in files}
    rewritten = sorted(f"{name} is written anew" for name, file in now.items() if files[name] != file)
    return rewritten + sorted(f"{table} is held with {mode}" for table, mode in held if mode in LONG_LOCKS)


@pytest.mark.parametrize(("before", "after"), STEPS)
async def test_a_migration_only_adds(empty_url: str, before: str, after: str) -> None:
    assert broken_promises(*await shapes(empty_url, before, after)) == []


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("before", "after"), STEPS)
async def test_a_migration_does_nothing_that_takes_long_in_large_tables(
    empty_url: str, before: str, after: str
) -> None:
    assert await delays(empty_url, before, after) == []


@pytest.mark.parametrize(("before", "after"), STEPS)
async def test_the_release_before_a_migration_writes_its_rows_after_it_too(
    empty_url: str, before: str, after: str
) -> None:
    await bring_to(empty_url, before)
    async with writing(empty_url) as connection:
        known = await connection.run_sync(reflected)
        await connection.run_sync(run_migrations, after)
        await connection.run_sync(fill, known)
        for table in known.sorted_tables:
            assert await connection.scalar(sa.select(sa.func.count()).select_from(table)) == 1


@pytest.mark.parametrize("revision", revisions())
async def test_rows_of_every_released_schema_come_up_to_the_present_one(empty_url: str, revision: str) -> None:
    await bring_to(empty_url, revision)
    async with writing(empty_url) as connection:
        known = await connection.run_sync(reflected)
        await connection.run_sync(fill, known)
        had = await connection.run_sync(rows, known)
    assert await schema.upgrade(empty_url) == schema.newest()
    await schema.check(empty_url)
    async with writing(empty_url) as connection:
        assert await connection.run_sync(rows, known) == had


# --- that these tests can fail: what the law forbids, each in a migration of its own

FORBIDDEN = {
    'op.drop_table("outcomes")': "table outcomes is gone",
    'op.drop_column("agents", "policy")': "column agents.policy is gone",
    'op.alter_column("agents", "policy", new_column_name="rules")': "column agents.policy is gone",
    'op.rename_table("outcomes", "reports")': "table outcomes is gone",
    'op.drop_index("ix_rollouts_due_at", "rollouts")': "index rollouts.ix_rollouts_due_at is gone",
    'op.create_index("once", "rollouts", ["canary"], unique=True)': "index rollouts.once may refuse what was allowed",
}
FORBIDDEN_IN_FILES = {
    "op.execute(\"CREATE TRIGGER few BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no more'); END\")": (
        "trigger events.few may refuse what was allowed"
    ),
    'op.execute("DROP TRIGGER audit_refuse_replace")': "trigger audit.audit_refuse_replace is gone",
}
FORBIDDEN_ON_SERVERS = {
    'op.add_column("agents", sa.Column("mood", sa.Text(), nullable=False))': "column agents.mood is demanded",
    'op.alter_column("agents", "policy", nullable=False)': "column agents.policy is changed",
    'op.alter_column("rollouts", "step", type_=sa.BigInteger())': "column rollouts.step is changed",
    'op.create_unique_constraint("once", "rollouts", ["canary"])': "unique rollouts.once may refuse what was allowed",
    'op.create_check_constraint("few", "rollouts", "step < 9")': "check rollouts.ck_rollouts_few may",
    'op.create_foreign_key("owner", "rollouts", "agents", ["agent"], ["name"])': "foreign-key rollouts.owner may",
    'op.execute("DROP TRIGGER events_refuse_change ON events")': "trigger events.events_refuse_change is gone",
}
SLOW = {
    'op.alter_column("rollouts", "step", type_=sa.BigInteger())': "rollouts is written anew",
    'op.create_index("slow", "measurements", ["source"])': "measurements is held with ShareLock",
    'op.execute("UPDATE rollouts SET step = step")': "rollouts is held with RowExclusiveLock",
}
BAD = """import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{newest}"


def upgrade():
    {statement}
"""


def a_migration(folder: Path, statement: str) -> Path:
    """Return a folder with our migrations and one more, which runs ``statement``."""
    shutil.copytree(schema.migrations_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    script = folder / "versions" / "9001_bad.py"
    script.write_text(BAD.format(newest=schema.newest(), statement=statement), "utf-8")
    return folder


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_a_migration_that_takes_away_or_demands_is_seen(empty_url: str, statement: str, tmp_path: Path) -> None:
    folder = a_migration(tmp_path / "migrations", statement)
    broken = broken_promises(*await shapes(empty_url, schema.newest(), "9001", folder))
    assert any(each.startswith(FORBIDDEN[statement]) for each in broken), broken


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("statement", FORBIDDEN_ON_SERVERS)
async def test_a_migration_that_changes_what_is_there_is_seen(empty_url: str, statement: str, tmp_path: Path) -> None:
    folder = a_migration(tmp_path / "migrations", statement)
    broken = broken_promises(*await shapes(empty_url, schema.newest(), "9001", folder))
    assert any(each.startswith(FORBIDDEN_ON_SERVERS[statement]) for each in broken), broken


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("statement", FORBIDDEN_IN_FILES)
async def test_a_migration_that_changes_what_a_file_refuses_is_seen(
    empty_url: str, statement: str, tmp_path: Path
) -> None:
    folder = a_migration(tmp_path / "migrations", statement)
    broken = broken_promises(*await shapes(empty_url, schema.newest(), "9001", folder))
    assert any(each.startswith(FORBIDDEN_IN_FILES[statement]) for each in broken), broken


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("statement", SLOW)
async def test_a_migration_that_holds_a_large_table_is_seen(empty_url: str, statement: str, tmp_path: Path) -> None:
    folder = a_migration(tmp_path / "migrations", statement)
    assert SLOW[statement] in await delays(empty_url, schema.newest(), "9001", folder)
