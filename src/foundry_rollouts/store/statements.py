"""SQL in traces: what kind of statement, on which table, and how long; its values are nobody's business.

The ready instrumentation knows no SQLAlchemy 2.1, so that the engine's own events are used.
"""

import re
from collections import Counter
from contextlib import ExitStack
from typing import Any

from sqlalchemy import Engine, ExceptionContext, ExecutionContext, event

from foundry_rollouts.tracing import span, trace_ids

_TABLE = re.compile(r"(?:FROM|INTO|UPDATE|JOIN)\s+\"?(\w+)", re.IGNORECASE)
_OPEN = "_foundry_rollouts_span"


def trace_statements(engine: Engine) -> None:
    """Make each statement of ``engine`` a span of the trace under way, where there is one."""
    event.listen(engine, "before_cursor_execute", _begin)
    event.listen(engine, "after_cursor_execute", _end)
    event.listen(engine, "handle_error", _fail)


def count_statements(counted: Counter[str]) -> None:
    """Count the statements and the commits of every engine of this process, for who measures it."""

    def add(word: str) -> None:
        counted[word] += 1

    event.listen(Engine, "before_cursor_execute", lambda *_: add("statements"))
    event.listen(Engine, "commit", lambda *_: add("commits"))


def _begin(_connection: Any, _cursor: Any, statement: str, _values: Any, context: ExecutionContext, *_: Any) -> None:
    if trace_ids() is None:
        return
    operation = statement.split(None, 1)[0].upper()
    table = found[1] if (found := _TABLE.search(statement)) else None
    about = {
        "db.system.name": context.dialect.name,
        "db.operation.name": operation,
        "db.collection.name": table,
    }
    opened = ExitStack()
    opened.enter_context(span(f"{operation} {table}" if table else operation, about, is_request=True))
    setattr(context, _OPEN, opened)


def _end(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: ExecutionContext, *_: Any) -> None:
    if opened := context.__dict__.pop(_OPEN, None):
        opened.close()


def _fail(failed: ExceptionContext) -> None:
    context = failed.execution_context
    if context is not None and (opened := context.__dict__.pop(_OPEN, None)):
        error = failed.original_exception
        opened.__exit__(type(error), error, error.__traceback__)
