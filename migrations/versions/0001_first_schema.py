"""The first schema.

The law of a migration stands in ``script.py.mako``. On both databases a trigger keeps the history append only:
whoever has the password of the controller still cannot rewrite what it did.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
UNFINISHED = sa.text("phase IN ('pending', 'progressing', 'paused')")


def upgrade() -> None:
    """Bring the schema forward."""
    _create_agents()
    _create_rollouts()
    _create_measurements()
    _create_commands()
    _create_events()
    _make_events_append_only()


def _create_agents() -> None:
    op.create_table(
        "agents",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("stable", sa.Text(), nullable=True),
        sa.Column("newest", sa.Text(), nullable=True),
        sa.Column("latest", sa.Text(), nullable=True),
        sa.Column("latest_status", sa.Text(), nullable=True),
        sa.Column("routing", JSON, nullable=True),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("seen_at", INSTANT, nullable=True),
        sa.Column("is_gone", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_agents"),
    )
    op.create_table(
        "leases",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("replica", sa.Text(), nullable=True),
        sa.Column("until", INSTANT, nullable=True),
        sa.Column("fence", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("agent", name="pk_leases"),
    )
    op.create_table(
        "intents",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.PrimaryKeyConstraint("agent", name="pk_intents"),
    )


def _create_rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("canary", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("policy", JSON, nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
        sa.UniqueConstraint("idempotency_key", name="uq_rollouts_idempotency_key"),
    )
    op.create_index("ix_rollouts_due_at", "rollouts", ["due_at"])
    op.create_index("ix_rollouts_created_at_id", "rollouts", ["created_at", "id"])
    op.create_index("ix_rollouts_agent_created_at_id", "rollouts", ["agent", "created_at", "id"])
    op.create_index("ix_rollouts_phase_created_at_id", "rollouts", ["phase", "created_at", "id"])
    op.create_index(
        "uq_rollouts_unfinished",
        "rollouts",
        ["agent", "canary"],
        unique=True,
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    )


def _create_measurements() -> None:
    op.create_table(
        "evidence",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_evidence_rollout_rollouts"),
        sa.PrimaryKeyConstraint("rollout", name="pk_evidence"),
    )
    op.create_table(
        "measurements",
        sa.Column("seq", NUMBER, autoincrement=True, nullable=False),
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_measurements_rollout_rollouts"),
        sa.PrimaryKeyConstraint("seq", name="pk_measurements"),
        sa.UniqueConstraint(
            "rollout", "source", "starts_at", "ends_at", name="uq_measurements_rollout_source_starts_at_ends_at"
        ),
    )
    op.create_index("ix_measurements_rollout_seq", "measurements", ["rollout", "seq"])


def _create_commands() -> None:
    op.create_table(
        "commands",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("is_obeyed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_commands_rollout_rollouts"),
        sa.PrimaryKeyConstraint("id", name="pk_commands"),
        sa.UniqueConstraint("rollout", "verb", "idempotency_key", name="uq_commands_rollout_verb_idempotency_key"),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("rollout", sa.Text(), nullable=True),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("weights", JSON, nullable=True),
        sa.Column("author", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_events_rollout_rollouts"),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sa.UniqueConstraint("id", name="uq_events_id"),
    )
    op.create_index("ix_events_rollout_seq", "events", ["rollout", "seq"])


def _make_events_append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER events_refuse_{change.lower()} BEFORE {change} ON events"
                " BEGIN SELECT RAISE(ABORT, 'the history is append only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the history is append only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events"
        " FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change()"
    )
