"""Messages that are recorded and not yet sent.

The law of a migration stands in ``script.py.mako``. The release before does not know the table: what it records while
it goes on is in the history as ever, and has no message.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "outbox",
        sa.Column("event", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("given_up_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["event"], ["events.seq"], name="fk_outbox_event_events"),
        sa.PrimaryKeyConstraint("event", name="pk_outbox"),
    )
    op.create_index("ix_outbox_lane_event", "outbox", ["lane", "event"])
