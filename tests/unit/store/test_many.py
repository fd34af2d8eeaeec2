"""What many agents are asked for in one statement: its text does not depend on how many they are."""

import json

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from foundry_rollouts.store.many import among
from foundry_rollouts.store.tables import rollouts

NAMES = ["a", "b\0", "'; DROP TABLE rollouts"]
ASKED = select(rollouts.c.id).where(among(rollouts.c.agent, "agents"))


@pytest.mark.parametrize(
    ("dialect", "text", "value"),
    [
        (postgresql.psycopg.dialect(), "rollouts.agent = ANY (%(agents)s::TEXT[])", ["a", "b\ufffd", NAMES[2]]),  # type: ignore[no-untyped-call]
        (sqlite.dialect(), "rollouts.agent IN (SELECT value FROM json_each(?))", ["a", "b\ufffd", NAMES[2]]),
    ],
    ids=["server", "file"],
)
def test_names_are_one_value(dialect: postgresql.psycopg.PGDialect_psycopg, text: str, value: list[str]) -> None:
    compiled = ASKED.compile(dialect=dialect)
    assert compiled.string.endswith(f"WHERE {text}")
    (bound,) = compiled.binds.values()
    sent = bound.type.dialect_impl(dialect).process_bind_param(NAMES, dialect)  # type: ignore[attr-defined]
    assert (sent if isinstance(sent, list) else json.loads(sent)) == value
