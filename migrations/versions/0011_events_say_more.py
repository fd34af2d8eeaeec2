"""What an event says of its rollout: its versions, its policy, its phase, and who or what is waited for.

The law of a migration stands in ``script.py.mako``. The release before writes none of it, and reads none.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema forward."""
    for name in ("canary", "stable", "policy", "policy_hash", "phase", "waits_for"):
        op.add_column("events", sa.Column(name, sa.Text(), nullable=True))
