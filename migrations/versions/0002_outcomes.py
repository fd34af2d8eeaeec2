"""Outcomes that callers report.

The law of a migration stands in ``script.py.mako``. The release before does not know the table and does not miss it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "outcomes",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("has_log_error", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("agent", "id", name="pk_outcomes"),
    )
    op.create_index("ix_outcomes_agent_received_at", "outcomes", ["agent", "received_at"])
    op.create_index("ix_outcomes_agent_session_at", "outcomes", ["agent", "session", "at"])
    op.create_index("ix_outcomes_received_at", "outcomes", ["received_at"])
