"""Which incarnation of an agent is known, and which one a rollout belongs to.

The law of a migration stands in ``script.py.mako``. The release before does not know the columns: what it writes while
it goes on belongs to the first incarnation, and rows that it changes keep theirs.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Bring the schema forward."""
    for table in ("agents", "rollouts"):
        op.add_column(table, sa.Column("incarnation", sa.Integer(), nullable=False, server_default=sa.text("1")))
    op.add_column("agents", sa.Column("marks", DOCUMENT, nullable=True))
