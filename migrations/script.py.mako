"""${message}.

The law of a migration:
  - It must work with the PREVIOUS release, whose replicas go on while the database is upgraded. So: add, with a
    default or NULL; and take away only what the release before last was the last to use. A test holds it.
  - It must not wait long for a lock, nor hold one long: env.py allows half a second for a lock and 5 seconds for a
    statement, and ``db upgrade`` tries again. Tables are filled in pieces by the new release, not here, and an index on
    a table that is there is built CONCURRENTLY, outside of the transaction.
  - It must run on SQLite and on PostgreSQL, and it is never edited once it was released.
  - It never goes back: a mistake is fixed by the next one.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision: str = ${repr(up_revision)}
down_revision: str | Sequence[str] | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    """Bring the schema forward."""
    ${upgrades if upgrades else "pass"}
