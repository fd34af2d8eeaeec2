"""An entry of the history or of the audit log cannot be replaced, either.

The law of a migration stands in ``script.py.mako``. SQLite's ``INSERT OR REPLACE`` deletes the entry before without
asking the trigger that refuses to delete one. The release before, and this one, add an event with ``ON CONFLICT DO
NOTHING``: for them the same event again still changes nothing. PostgreSQL knows no such statement.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

#: What becomes of an entry that there is already.
ANSWERS = {"events": "IGNORE", "audit": "ABORT, 'the audit log is append only'"}


def upgrade() -> None:
    """Bring the schema forward."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table, answer in ANSWERS.items():
        op.execute(
            f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table}"  # noqa: S608 - all of it is ours
            f" WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id OR seq = NEW.seq)"
            f" BEGIN SELECT RAISE({answer}); END"
        )
