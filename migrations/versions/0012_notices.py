"""Notices: what each target of notifications is to hear, and how far that is.

The law of a migration stands in ``script.py.mako``. The release before does not know the tables: what it records while
it goes on is in the history and in its outbox as ever, and no target hears of it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INSTANT = sa.DateTime(timezone=True)


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "news",
        sa.Column("event", _number(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.seq"], name="fk_news_event_events"),
        sa.PrimaryKeyConstraint("event", name="pk_news"),
    )
    op.create_table(
        "notices",
        sa.Column("id", _number(), autoincrement=True, nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("event", _number(), nullable=False),
        sa.Column("first_at", INSTANT, nullable=False),
        sa.Column("said_at", INSTANT, nullable=True),
        sa.Column("closed_at", INSTANT, nullable=True),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("since", INSTANT, nullable=True),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("given_up", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.seq"], name="fk_notices_event_events"),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.UniqueConstraint("target", "subject", "state", name="uq_notices_target_subject_state"),
    )
    op.create_index("ix_notices_due_at", "notices", ["due_at"])
    op.create_index("ix_notices_agent", "notices", ["agent"])
