"""Migrations: they lead to the tables of the code, on both databases, also when several start at once."""

import asyncio
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from databases import writing
from foundry_rollouts.errors import StoreError
from foundry_rollouts.store import schema


async def test_migrations_lead_to_the_tables_of_the_code(empty_url: str) -> None:
    await schema.upgrade(empty_url)
    await schema.check(empty_url)


async def test_an_upgrade_tells_where_it_arrived_and_may_be_repeated(empty_url: str) -> None:
    assert await schema.current(empty_url) is None
    assert await schema.upgrade(empty_url) == await schema.upgrade(empty_url) == await schema.current(empty_url)


async def test_replicas_that_upgrade_at_once_all_succeed(empty_url: str) -> None:
    arrived = await asyncio.gather(*(schema.upgrade(empty_url) for _ in range(4)))
    assert set(arrived) == {schema.newest()}
    await schema.check(empty_url)


async def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty_url: str) -> None:
    async with writing(empty_url) as connection:
        await connection.execute(text("CREATE VIEW events AS SELECT 1 AS mine"))
    with pytest.raises(StoreError, match="already exists"):
        await schema.upgrade(empty_url)
    assert await schema.current(empty_url) is None
    async with writing(empty_url) as connection:
        await connection.execute(text("CREATE TABLE rollouts (mine TEXT)"))


def test_there_is_one_line_of_migrations_without_a_way_back() -> None:
    scripts = list(ScriptDirectory(schema.migrations_folder()).walk_revisions())
    assert [script.revision for script in scripts] == [f"{n:04}" for n in range(len(scripts), 0, -1)]
    assert not any(hasattr(script.module, "downgrade") for script in scripts)


def test_the_migrations_that_the_wheel_ships_are_preferred_to_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert schema.migrations_folder() == Path(__file__).parents[2] / "migrations"
    (tmp_path / "migrations").mkdir()
    monkeypatch.setattr(schema, "files", lambda _package: tmp_path)
    assert schema.migrations_folder() == tmp_path / "migrations"


async def test_a_new_migration_can_be_written_from_the_template(empty_url: str, tmp_path: Path) -> None:
    """What ``alembic revision --autogenerate`` writes for all our tables needs nothing of our code."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for name in ("env.py", "script.py.mako"):
        (folder / name).write_text((schema.migrations_folder() / name).read_text())
    written = await written_migration(empty_url, folder)
    assert "must work with the PREVIOUS release" in written
    assert "foundry_rollouts" not in written
    assert "postgresql.JSONB()" in written
    compile(written, "migration", "exec")


async def written_migration(url: str, folder: Path) -> str:
    from alembic import command

    config = Config()
    config.set_main_option("script_location", str(folder))
    async with writing(url) as connection:

        def revise(handed_in: object) -> None:
            config.attributes["connection"] = handed_in
            command.revision(config, "everything", autogenerate=True, rev_id="0001")

        await connection.run_sync(revise)
    (script,) = (folder / "versions").glob("*.py")
    return script.read_text()
