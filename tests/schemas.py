"""Schemas of earlier releases, and what a database looks like from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, text

from databases import writing
from foundry_rollouts.store import schema


def revisions() -> list[str]:
    """Return every revision there is, the oldest first."""
    return [script.revision for script in ScriptDirectory(schema.migrations_folder()).walk_revisions()][::-1]


async def bring_to(url: str, revision: str) -> None:
    """Upgrade a database to an earlier schema."""
    async with writing(url) as connection:
        await connection.run_sync(run_migrations, revision)


def run_migrations(connection: Connection, revision: str, folder: Path | None = None) -> None:
    """Run the migrations of ``folder``, or ours, up to ``revision`` in the transaction of ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(folder or schema.migrations_folder()))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a release relies on: each thing in the database by name, with all that is said of it."""

    tables: frozenset[str]
    things: Mapping[str, str]

    def in_tables(self, tables: frozenset[str]) -> dict[str, str]:
        """Return the things that belong to ``tables``."""
        return {name: said for name, said in self.things.items() if name.split()[1].split(".")[0] in tables}


def shape_of(connection: Connection) -> Shape:
    """Return what the database has; alembic's own table is left out."""
    inspector = inspect(connection)
    tables = frozenset(inspector.get_table_names()) - {"alembic_version"}
    things: dict[str, str] = {}
    for table in tables:
        things[f"table {table}"] = "there"
        for column in inspector.get_columns(table):
            things[f"column {table}.{column['name']}"] = plain({**column, "comment": None})
        things[f"key {table}"] = plain(inspector.get_pk_constraint(table))
        for kind, found in (
            ("foreign-key", inspector.get_foreign_keys(table)),
            ("unique", inspector.get_unique_constraints(table)),
            ("check", inspector.get_check_constraints(table)),
            ("index", inspector.get_indexes(table)),
        ):
            things |= {f"{kind} {table}.{each['name']}": plain(each) for each in found}
    for table, trigger, said in connection.execute(text(_TRIGGERS[connection.dialect.name])):
        things[f"trigger {table}.{trigger}"] = str(said)
    return Shape(tables, things)


def plain(said: Any) -> str:
    """Return everything that is said of a thing, in one order."""
    if isinstance(said, Mapping):
        return "{" + ", ".join(f"{key}: {plain(value)}" for key, value in sorted(said.items())) + "}"
    return str(said)


_TRIGGERS = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal",
}


def broken_promises(before: Shape, after: Shape) -> list[str]:
    """Return what a release that knows ``before`` could stumble over in ``after``."""
    old, now = before.in_tables(before.tables), after.in_tables(before.tables)
    broken = [f"{name} is gone" for name in old.keys() - now.keys()]
    broken += [f"{name} is changed" for name in old.keys() & now.keys() if old[name] != now[name]]
    for name in now.keys() - old.keys():
        match name.split()[0]:
            case "column":
                if "nullable: False" in now[name] and "default: None" in now[name]:
                    broken.append(f"{name} is demanded of those who do not know it")
            case "index":
                if "unique: True" in now[name] or "unique: 1" in now[name]:
                    broken.append(f"{name} may refuse what was allowed")
            case "trigger" if now[name] == replacing_guard(name.removeprefix("trigger ").split(".")[0]):
                pass  # It refuses what a key refuses already.
            case _:
                broken.append(f"{name} may refuse what was allowed")
    return sorted(broken)


def replacing_guard(table: str) -> str:
    """Return the one trigger that an append only table may still get: it keeps rows from being replaced."""
    answer = "IGNORE" if table == "events" else "ABORT, 'the audit log is append only'"
    return (
        f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table}"
        f" WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id OR seq = NEW.seq) BEGIN SELECT RAISE({answer}); END"
    )


#: What a server has locked for a transaction of its own in tables of ours, and the files that the tables lie in.
LOCKS = (
    "SELECT relation::regclass::text, mode FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
    " WHERE pid = pg_backend_pid() AND relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
FILES = "SELECT relname, relfilenode FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
#: Held while an index is built or rows are written: as long as the table is large.
LONG_LOCKS = {"ShareLock", "RowExclusiveLock"}


def reflected(connection: Connection) -> MetaData:
    """Return the tables that a release of this schema knows."""
    known = MetaData()
    known.reflect(connection)
    known.remove(known.tables["alembic_version"])
    return known


def fill(connection: Connection, known: MetaData) -> None:
    """Write one row into each table, a value in each of its columns."""
    for table in known.sorted_tables:
        connection.execute(table.insert().values({column.name: a_value(column) for column in table.columns}))


def a_value(column: sa.Column[Any]) -> object:
    match column.type:
        case sa.Boolean():
            return False
        case sa.Integer() | sa.Float():
            return 7
        case sa.DateTime():
            return datetime(2026, 1, 1, tzinfo=UTC)
        case sa.JSON():
            return {"a": [1, "ü"]}
        case _:
            return "r-1"


def rows(connection: Connection, known: MetaData) -> dict[str, list[tuple[object, ...]]]:
    """Return every row, in the columns that were known."""
    return {table.name: [tuple(row) for row in connection.execute(table.select())] for table in known.sorted_tables}
