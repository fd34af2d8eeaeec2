"""Agents: weights of another hand that are kept, and why one cannot be read.

The law of a migration stands in ``script.py.mako``. The release before does not know the columns and leaves them as
they are.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("agents", sa.Column("kept", JSON, nullable=True))
    op.add_column("agents", sa.Column("unreadable", sa.Text(), nullable=True))
