"""The next release upgrades the database under a running replica, which goes on with what it needs."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from builders import NOON, a_rollout, an_event
from databases import writing
from fakes import FakePolicies
from foundry_rollouts.controller.health import JobHealth, Readiness
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import SchemaError
from foundry_rollouts.ports import Condition, Record
from foundry_rollouts.store import schema
from foundry_rollouts.store.store import SqlStore

ADDITIONS = (
    "CREATE TABLE notes (rollout TEXT NOT NULL REFERENCES rollouts (id), said TEXT NOT NULL)",
    "ALTER TABLE rollouts ADD COLUMN colour TEXT",
    "ALTER TABLE events ADD COLUMN loudness INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX ix_rollouts_colour ON rollouts (colour)",
)


async def upgrade_to(url: str, revision: str, *statements: str) -> None:
    """Change the database as a newer release would."""
    async with writing(url) as connection:
        for statement in (*statements, f"UPDATE alembic_version SET version_num = '{revision}'"):
            await connection.execute(text(statement))


async def test_a_running_replica_goes_on_with_a_newer_schema_that_only_adds(store: SqlStore, database_url: str) -> None:
    assert await store.check() is None
    await store.create(a_rollout(), an_event(), None)
    await upgrade_to(database_url, "9001", *ADDITIONS)
    assert await store.check() == (
        f"the database was upgraded to schema 9001; this release, of schema {schema.newest()}, keeps using it until a"
        " replica of the new release takes its place"
    )
    (lease,) = await store.claim_due(NOON, 10)
    ended = a_rollout(phase=Phase.PROMOTED)
    await store.record(lease, Record(event=an_event(id="r-1:2"), rollout=ended))
    assert (await store.rollout("r-1")).phase is Phase.PROMOTED
    assert len(await store.history("r-1")) == 2


async def test_it_is_ready_and_says_why_and_the_log_tells_it_once(store: SqlStore, database_url: str) -> None:
    readiness = Readiness(store, FakePolicies(()), JobHealth(), timedelta(seconds=30))
    with capture_logs() as told:
        assert database(await readiness.conditions(NOON)) == Condition(
            "database", True, "reachable, migrations current"
        )
        for revision in ("9001", "9001", "9002"):
            await upgrade_to(database_url, revision)
            for _ in range(3):
                said = database(await readiness.conditions(NOON))
                assert (said.is_well, said.because[:43]) == (True, f"the database was upgraded to schema {revision}; t")
    assert [line["event"] for line in told] == ["database.upgraded", "database.upgraded"]


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ("DROP TABLE outcomes", "table outcomes is missing"),
        ("ALTER TABLE agents DROP COLUMN policy", "column agents.policy is missing"),
        ("DROP INDEX uq_rollouts_unfinished", "index uq_rollouts_unfinished is missing"),
        ("CREATE UNIQUE INDEX once ON rollouts (canary)", "index once is not ours"),
    ],
)
async def test_a_newer_schema_that_lacks_what_it_needs_makes_it_unready_and_is_named(
    store: SqlStore, database_url: str, taken: str, told: str
) -> None:
    await upgrade_to(database_url, "9001", *ADDITIONS)
    await store.check()
    await upgrade_to(database_url, "9002", taken)
    with pytest.raises(
        SchemaError, match=f"^the database is at schema 9002, newer than the .* cannot use it, because {told}$"
    ):
        await store.check()
    readiness = Readiness(store, FakePolicies(()), JobHealth(), timedelta(seconds=30))
    assert not database(await readiness.conditions(NOON)).is_well


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_column_that_rows_of_ours_would_have_to_fill_is_one_it_cannot_go_on_with(
    store: SqlStore, database_url: str
) -> None:
    await upgrade_to(database_url, "9001", "ALTER TABLE agents ADD COLUMN mood TEXT NOT NULL")
    with pytest.raises(SchemaError, match=r"because column agents\.mood is not ours and wants a value$"):
        await store.check()


def database(conditions: Sequence[Condition]) -> Condition:
    """Return what is said of the database."""
    (said,) = (each for each in conditions if each.name == "database")
    return said
