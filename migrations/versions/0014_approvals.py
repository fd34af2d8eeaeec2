"""What is approved, and the groups of those who approve.

The law of a migration stands in ``script.py.mako``. The release before writes neither column and knows no policy that
asks for certain people.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014"
down_revision: str | Sequence[str] | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("commands", sa.Column("about", sa.Text(), nullable=True))
    op.add_column("sign_ins", sa.Column("groups", JSON, nullable=True))
