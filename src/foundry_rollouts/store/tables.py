"""The schema, as the newest migration leaves it: what queries ask for are columns, all else is in a ``document``."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from foundry_rollouts.store.sanitize import plain_text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UTCDateTime(TypeDecorator[datetime]):
    """An instant, aware and in UTC on both sides; a naive one is refused with ValueError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return ``value`` as the driver wants it: SQLite keeps no time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone: only aware instants are stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return what was stored as an aware instant in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text of any origin; what a database cannot keep is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return ``value`` as both databases take it."""
        return None if value is None else plain_text(value)


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself in an INTEGER key only.

#: The rollouts that have not ended; partial indexes need it word for word.
UNFINISHED = text("phase IN ('pending', 'progressing', 'paused')")


def _rollout_column(**but: Any) -> Column[str]:
    return Column("rollout", PlainText, ForeignKey("rollouts.id"), **but)


agents = Table(
    "agents",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("stable", PlainText),
    Column("newest", PlainText),
    Column("latest", PlainText),
    Column("latest_status", PlainText),
    Column("routing", Json),
    Column("policy", PlainText),
    Column("seen_at", UTCDateTime),
    Column("is_gone", Boolean, nullable=False),
    Column("kept", Json),  # weights of another hand that stay until a rollout begins
    Column("unreadable", PlainText),  # why it cannot be processed; NULL: it can
    Column("incarnation", Integer, nullable=False, server_default=text("1")),
    Column("marks", Json),
)

leases = Table(
    "leases",
    metadata,
    Column("agent", PlainText, primary_key=True),
    Column("replica", PlainText),  # NULL: free
    Column("until", UTCDateTime),
    Column("fence", _Number, nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("started_at", UTCDateTime, nullable=False),
    Column("seen_at", UTCDateTime, nullable=False),  # by the clock of the database
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("agent", PlainText, nullable=False),
    Column("canary", PlainText, nullable=False),
    Column("phase", PlainText, nullable=False),
    Column("step", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("due_at", UTCDateTime),  # NULL: never
    Column("idempotency_key", PlainText, unique=True),
    Column("policy", Json, nullable=False),  # written once
    Column("document", Json, nullable=False),
    Column("incarnation", Integer, nullable=False, server_default=text("1")),
    Index(None, "due_at"),
    Index(None, "created_at", "id"),
    Index(None, "agent", "created_at", "id"),
    Index(None, "phase", "created_at", "id"),
    Index(
        "uq_rollouts_unfinished",
        "agent",
        "canary",
        unique=True,
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    ),
)

evidence = Table(
    "evidence",
    metadata,
    _rollout_column(primary_key=True),
    Column("document", Json, nullable=False),
)

measurements = Table(
    "measurements",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    _rollout_column(nullable=False),
    Column("source", PlainText, nullable=False),
    Column("starts_at", UTCDateTime, nullable=False),
    Column("ends_at", UTCDateTime, nullable=False),
    Column("document", Json, nullable=False),
    UniqueConstraint("rollout", "source", "starts_at", "ends_at"),
    Index(None, "rollout", "seq"),
)

commands = Table(
    "commands",
    metadata,
    Column("id", PlainText, primary_key=True),
    _rollout_column(nullable=False),
    Column("verb", PlainText, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("author", PlainText, nullable=False),
    Column("reason", PlainText),
    Column("idempotency_key", PlainText),
    Column("is_obeyed", Boolean, nullable=False),
    Column("about", PlainText),  # the fingerprint of what is approved; NULL: it does not matter
    UniqueConstraint("rollout", "verb", "idempotency_key"),
)

intents = Table(
    "intents",
    metadata,
    Column("agent", PlainText, primary_key=True),  # an agent has one open intent at most
    Column("id", PlainText, nullable=False),
    Column("opened_at", UTCDateTime, nullable=False),
    Column("document", Json, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("id", PlainText, nullable=False, unique=True),
    Column("at", UTCDateTime, nullable=False),
    Column("kind", PlainText, nullable=False),
    Column("agent", PlainText, nullable=False),
    _rollout_column(),
    Column("because", PlainText, nullable=False),
    Column("step", Integer),
    Column("weights", Json),
    Column("author", PlainText),
    *(Column(name, PlainText) for name in ("canary", "stable", "policy", "policy_hash", "phase", "waits_for")),
    Index(None, "rollout", "seq"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("event", _Number, ForeignKey("events.seq"), primary_key=True, autoincrement=False),
    Column("lane", PlainText, nullable=False),  # what is sent in order: the rollout, else the agent
    Column("attempts", Integer, nullable=False),
    Column("due_at", UTCDateTime),  # NULL: at once
    Column("trouble", PlainText),  # why the last attempt came to nothing
    Column("given_up_at", UTCDateTime),  # NULL: it is still to be sent
    Index(None, "lane", "event"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("agent", PlainText, primary_key=True),
    Column("id", PlainText, primary_key=True),  # the caller's: the same again is the same call
    Column("version", PlainText, nullable=False),
    Column("at", UTCDateTime, nullable=False),  # when the call began
    Column("received_at", UTCDateTime, nullable=False),
    Column("cause", PlainText),  # NULL: it did well
    Column("latency_ms", Float),
    Column("session", PlainText),
    Column("has_log_error", Boolean, nullable=False),
    Index(None, "agent", "received_at"),
    Index(None, "agent", "session", "at"),
    Index(None, "received_at"),
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    _rollout_column(primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("author", PlainText, nullable=False),
    Column("reason", PlainText),
)

projects = Table(
    "projects",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=False),  # there is one
    Column("name", PlainText, nullable=False),
    Column("since", UTCDateTime, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("id", PlainText, nullable=False, unique=True),
    Column("at", UTCDateTime, nullable=False),
    Column("author", PlainText, nullable=False),
    Column("role", PlainText),  # NULL: nobody was recognised
    Column("way", PlainText),
    Column("address", PlainText, nullable=False),
    Column("action", PlainText, nullable=False),
    Column("subject", PlainText),
    Column("reason", PlainText),
    Column("generation", Integer),
    Column("outcome", PlainText, nullable=False),
    Column("because", PlainText),
    Index(None, "author", "seq"),
    Index(None, "action", "seq"),
    Index(None, "subject", "seq"),
)
