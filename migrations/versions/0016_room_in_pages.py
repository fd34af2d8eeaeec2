"""Room in the pages of rows that every tick writes anew, and a vacuum that comes soon.

The law of a migration stands in ``script.py.mako``. It applies to PostgreSQL only, and changes nothing that is stored:
pages that are filled from now on keep room for the next version of their rows, which then needs no new page and, where
no index changes, no new entry in one.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0016"
down_revision: str | Sequence[str] | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

#: Written at every tick, at every renewal, and at every listing.
BUSY = ("rollouts", "evidence", "leases", "agents")
SETTINGS = {
    "fillfactor": "70",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_cost_delay": "0",
}


def upgrade() -> None:
    """Bring the schema forward."""
    if op.get_bind().dialect.name != "postgresql":
        return
    wanted = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    for table in BUSY:
        op.execute(f"ALTER TABLE {table} SET ({wanted})")
