"""The tables of people: the tokens that they show, and who is signed in."""

from sqlalchemy import Column, Index, Table

from foundry_rollouts.store.tables import Json, PlainText, UTCDateTime, metadata

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("owner", PlainText, nullable=False),
    Column("role", PlainText, nullable=False),
    Column("secret_hash", PlainText, nullable=False, unique=True),  # SHA-256, in hexadecimal
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime),  # NULL: never
    Column("revoked_at", UTCDateTime),
    Column("last_used_at", UTCDateTime),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("secret_hash", PlainText, primary_key=True),  # SHA-256 of what the browser shows, in hexadecimal
    Column("name", PlainText, nullable=False),
    Column("role", PlainText, nullable=False),
    Column("way", PlainText, nullable=False),
    Column("token", PlainText),  # the id of the API token that was shown; NULL: none was
    Column("groups", Json),  # as the identity provider named them; NULL: none, or written by an earlier release
    Column("began_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime, nullable=False),
    Index(None, "name"),
)
