"""The tables of notices; ``metadata`` has these and all others of the schema."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, UniqueConstraint

from foundry_rollouts.store.tables import PlainText, UTCDateTime, metadata

__all__ = ["metadata", "news", "notices"]

_Number = BigInteger().with_variant(Integer, "sqlite")

news = Table(
    "news",
    metadata,
    Column("event", _Number, ForeignKey("events.seq"), primary_key=True, autoincrement=False),
)

notices = Table(
    "notices",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("target", PlainText, nullable=False),
    Column("agent", PlainText, nullable=False),
    Column("subject", PlainText, nullable=False),
    Column("state", PlainText, nullable=False),
    Column("event", _Number, ForeignKey("events.seq"), nullable=False),  # the newest of the state
    Column("first_at", UTCDateTime, nullable=False),
    Column("said_at", UTCDateTime),  # NULL: the target heard nothing of the state yet
    Column("closed_at", UTCDateTime),  # NULL: the state lasts
    Column("repeats", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("since", UTCDateTime),  # when the present message was first to be sent
    Column("due_at", UTCDateTime),  # NULL: there is nothing to send
    Column("attempts", Integer, nullable=False),
    Column("trouble", PlainText),
    Column("given_up", Integer, nullable=False),
    UniqueConstraint("target", "subject", "state"),
    Index(None, "due_at"),
    Index(None, "agent"),
)
