"""The table of brakes: stops of the line and holds of agents, those that ended too."""

from sqlalchemy import Column, Index, Table, text

from foundry_rollouts.store.tables import PlainText, UTCDateTime, metadata

#: Those that nobody ended yet; the partial index needs it word for word.
STANDING = text("ended_at IS NULL")

brakes = Table(
    "brakes",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("kind", PlainText, nullable=False),
    Column("project", PlainText, nullable=False),  # of a line; empty: of all projects
    Column("agent", PlainText),  # of a hold; NULL: every agent
    Column("version", PlainText),
    Column("reason", PlainText, nullable=False),
    Column("author", PlainText, nullable=False),
    Column("since", UTCDateTime, nullable=False),
    Column("until", UTCDateTime),  # NULL: until a person ends it
    Column("ended_at", UTCDateTime),
    Column("ended_by", PlainText),  # NULL after the end: its time was over
    Index("ix_brakes_standing", "kind", sqlite_where=STANDING, postgresql_where=STANDING),
    Index(None, "ended_at"),
)
