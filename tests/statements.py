"""What a store asks of its database, counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import event

from foundry_rollouts.store.store import SqlStore


@dataclass
class Tally:
    """Statements without those that begin and end transactions, and the transactions that wrote."""

    statements: int = 0
    commits: int = 0


@contextmanager
def counting(store: SqlStore) -> Iterator[Tally]:
    """Count what ``store`` asks of its database within the block."""
    engine, tally = store._database._writers.sync_engine, Tally()

    def statement(*args: object) -> None:
        tally.statements += not str(args[2]).startswith("BEGIN")

    def commit(_: object) -> None:
        tally.commits += 1

    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", commit)
    try:
        yield tally
    finally:
        event.remove(engine, "before_cursor_execute", statement)
        event.remove(engine, "commit", commit)
