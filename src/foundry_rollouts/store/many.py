"""What many agents are asked for, and what is written of them, in one statement."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import ARRAY, ColumnElement, Dialect, Row, Text, TextClause, TypeDecorator, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeEngine

from foundry_rollouts.store.sanitize import plain_text
from foundry_rollouts.store.tables import UTCDateTime

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]


def padded(values: Sequence[T]) -> list[T]:
    """Return ``values`` with the last one repeated, so that there are 1, 2, 4, 8 ... of them.

    A statement with a list has another text for each length of it, and a server prepares each text by itself. Where it
    is asked at every tick it has ``among`` instead.
    """
    missing = (1 << max(len(values) - 1, 0).bit_length()) - len(values)
    return [*values, *list(values[-1:]) * missing]


def by_agent(rows: Iterable[AnyRow]) -> Mapping[str, Sequence[AnyRow]]:
    """Return the rows of each agent, in their order."""
    found = defaultdict[str, list[AnyRow]](list)
    for row in rows:
        found[row.agent].append(row)
    return found


class _Names(TypeDecorator[Sequence[str]]):
    """Any number of names as one value."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the value: a server has lists, and a file reads JSON."""
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        """Return names as the database takes them."""
        names = [plain_text(name) for name in value or ()]
        return names if dialect.name == "postgresql" else to_json(names).decode()


class _Among(FunctionElement[bool]):
    # As a boolean it would be compared with 1 in a file, which no index serves.
    type = NullType()  # type: ignore[assignment]
    inherit_cache = True


@compiles(_Among, "postgresql")
def _in_list(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, names = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({names})"


@compiles(_Among)
def _in_json(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, names = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({names}))"  # noqa: S608 - both are what the compiler wrote


def among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return whether ``column`` is one of the texts that a statement is given by that name.

    They are one value, however many, so that the statement is put together and prepared once.
    """
    return _Among(column, bindparam(name, type_=_Names()))


_INSTANT = UTCDateTime()
#: How rows come out of the one value that they are sent in, so that a statement has the same text for any number.
_ROWS = {
    "postgresql": "SELECT {names} FROM json_to_recordset(CAST(:rows AS json)) AS each_row({types})",
    "sqlite": "SELECT {values} FROM json_each(:rows)",
}
#: All other columns are text.
_TYPES = {
    **dict.fromkeys(("due_at", "starts_at", "ends_at", "opened_at"), "timestamptz"),
    **dict.fromkeys(("step", "generation"), "integer"),
    "document": "jsonb",
}


def of_rows(*statements: tuple[Sequence[str], str]) -> Mapping[str, Sequence[TextClause]]:
    """Return statements for each dialect, each with ``{rows}`` replaced by a query for the columns of its rows.

    The rows themselves are the value ``rows``, as ``rows_text`` returns it. Behind an ``ORDER BY``, ``{bytewise}``
    makes it the order of Python, whatever language the server sorts by.
    """
    return {
        dialect: [
            text(statement.format(rows=_rows_in(dialect, names), bytewise=bytewise)) for names, statement in statements
        ]
        for dialect, bytewise in (("postgresql", 'COLLATE "C"'), ("sqlite", ""))
    }


def _rows_in(dialect: str, names: Sequence[str]) -> str:
    return _ROWS[dialect].format(
        names=", ".join(names),
        types=", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in names),
        values=", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names),
    )


def rows_text(rows: Iterable[str]) -> str:
    """Return rows as one value."""
    return f"[{','.join(rows)}]"


def row_text(columns: Mapping[str, str | int | None], document: str | None = None) -> str:
    """Return a row as JSON, with its ``document``, which is written already."""
    row = to_json(columns).decode()
    return row if document is None else f'{row[:-1]},"document":{document}}}'


def instant_text(connection: AsyncConnection, at: datetime | None) -> str | None:
    """Return an instant as the database reads it from text; ValueError when it has no time zone."""
    kept = _INSTANT.process_bind_param(at, connection.dialect)
    return kept.isoformat(" ", "microseconds") if kept else None
