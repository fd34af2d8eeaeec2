"""How the tables of a database differ from those that this release knows, each difference in plain words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from foundry_rollouts.store.all_tables import metadata

#: The tables that are append only, as people call them, and what triggers refuse there, by dialect.
APPEND_ONLY = {"events": "the history", "audit": "the audit log"}
REFUSED = {"sqlite": ("update", "delete", "replace"), "postgresql": ("change",)}
_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(:table) AND tgenabled IN ('O', 'A')",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as our migrations leave it; harmless: this release can work with it all the same."""

    sentence: str
    is_harmless: bool


def differences(connection: Connection) -> list[Difference]:
    """Return every difference; what is missing comes first, whole tables before all, and what is not ours last."""
    compared = compare_metadata(MigrationContext.configure(connection), metadata)
    found = [*(_read(each, connection) for each in _flat(compared)), *_keys(connection), *_guards(connection)]
    return sorted(found, key=lambda each: (_place(each.sentence), each.sentence))


def _place(sentence: str) -> tuple[bool, bool, bool]:
    return "is missing" not in sentence, "is not ours" in sentence, not sentence.startswith("table ")


def in_words(found: list[Difference], most: int = 5) -> str:
    """Return the first ``most`` of ``found`` in one line, and how many more there are."""
    words = ", ".join(each.sentence for each in found[:most])
    return words + (f", and {len(found) - most} more" if len(found) > most else "")


def _flat(compared: Any) -> Iterator[tuple[Any, ...]]:
    """Yield each difference by itself: those of one column come as a list."""
    for each in compared:
        yield from each if isinstance(each, list) else [each]


def _read(difference: tuple[Any, ...], connection: Connection) -> Difference:
    match difference:
        case ("add_table", table):
            return Difference(f"table {table.name} is missing", False)
        case ("remove_table", table):
            return Difference(f"table {table.name} is not ours", True)
        case ("add_column", _, table, column):
            return Difference(f"column {table}.{column.name} is missing", False)
        case ("remove_column", _, table, column):
            # A row of ours leaves it out, so there must be something that it then holds.
            can_be_left_out = column.nullable or column.server_default is not None
            demand = "" if can_be_left_out else " and wants a value"
            return Difference(f"column {table}.{column.name} is not ours{demand}", can_be_left_out)
        case ("modify_type", _, table, column, _, is_type, our_type):
            shown, ours = (each.compile(connection.dialect) for each in (is_type, our_type))
            return Difference(f"column {table}.{column} is {shown} instead of {ours}", False)
        case ("modify_nullable", _, table, column, _, is_nullable, _):
            return Difference(f"column {table}.{column} {'may' if is_nullable else 'may not'} be NULL", False)
        case ("add_index" | "add_constraint" | "add_fk", item):
            return Difference(f"{_kind(item)} {item.name} is missing", not _is_unique(item))
        case ("remove_index" | "remove_constraint" | "remove_fk", item):
            is_harmless = _kind(item) == "index" and not _is_unique(item)
            return Difference(f"{_kind(item)} {item.name} is not ours", is_harmless)
        case (kind, *rest):
            return Difference(f"{kind} {' '.join(str(part) for part in rest if part is not None)}", False)
    raise AssertionError(difference)


def _kind(item: Any) -> str:
    return {"Index": "index", "UniqueConstraint": "unique constraint"}.get(type(item).__name__, "foreign key")


def _is_unique(item: Any) -> bool:
    return _kind(item) == "unique constraint" or bool(getattr(item, "unique", False))


def _keys(connection: Connection) -> Iterator[Difference]:
    """Yield each table whose primary key is not ours: repeated writes are recognised by it."""
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in there:
            continue
        if set(inspector.get_pk_constraint(table.name)["constrained_columns"]) != set(table.primary_key.columns.keys()):
            yield Difference(f"primary key {table.primary_key.name} is missing", False)


def _guards(connection: Connection) -> Iterator[Difference]:
    """Yield each trigger that is missing."""
    dialect, tables = connection.dialect.name, set(inspect(connection).get_table_names())
    for table in APPEND_ONLY.keys() & tables:
        there = set(connection.scalars(text(_TRIGGERS[dialect]), {"table": table}))
        for missing in {f"{table}_refuse_{each}" for each in REFUSED[dialect]} - there:
            yield Difference(f"trigger {missing}, which keeps {APPEND_ONLY[table]} append only, is missing", True)
