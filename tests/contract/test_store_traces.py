"""Statements in a trace: both databases, what fails too, and nobody's values."""

import pytest
from opentelemetry.trace import StatusCode
from sqlalchemy import text

from builders import NOON
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import AgentKnown
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.tracing import span, trace_ids
from traced import traces


async def test_each_statement_says_its_kind_and_its_table_and_none_of_its_values(
    store: SqlStore, database_url: str
) -> None:
    with traces() as kept, span("tick"):
        await store.see_agents([AgentKnown("a-secret-name", latest="4711")], NOON)
    said = [dict(each.attributes or {}) for each in kept.spans if each.name != "tick"]
    assert ("INSERT", "agents") in {(each["db.operation.name"], each.get("db.collection.name")) for each in said}
    assert {each["db.system.name"] for each in said} == {database_url.partition(":")[0]}
    assert not [word for word in ("a-secret-name", "4711") if word in kept.everything()]


async def test_a_statement_that_fails_ends_its_span_and_says_so(database_url: str) -> None:
    database = Database(database_url)
    with traces() as kept, span("tick"):
        around = trace_ids()
        with pytest.raises(StoreError):
            async with database.reading() as connection:
                await connection.execute(text("SELECT a_secret FROM nowhere"))
        assert trace_ids() == around
    await database.close()
    failed = kept.named("SELECT nowhere")
    assert failed.status.status_code is StatusCode.ERROR
    assert "a_secret" not in kept.everything()
