"""The API tokens of a store: every promise of ``ports.Tokens``, each kept in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.access import ApiToken, Role
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.store.engine import Database, insert_into
from foundry_rollouts.store.people_tables import api_tokens

_MADE = (api_tokens.c.created_at, api_tokens.c.id)


class ApiTokens:
    """What is asked of the store about tokens."""

    _database: Database

    async def add_token(self, token: ApiToken, secret_hash: str) -> bool:
        """Add a token; whether it is new, which it is not when there is one of that id."""
        async with self._database.writing() as connection:
            added = await connection.scalar(
                insert_into(connection, api_tokens)
                .values(
                    id=token.id,
                    owner=token.owner,
                    role=token.role.value,
                    secret_hash=secret_hash,
                    created_at=token.created_at,
                    expires_at=token.expires_at,
                )
                .on_conflict_do_nothing(index_elements=[api_tokens.c.id])
                .returning(api_tokens.c.id)
            )
            return added is not None

    async def token_of(self, secret_hash: str) -> ApiToken | None:
        """Return the token of that secret, also when it opens nothing any more."""
        async with self._database.reading() as connection:
            query = select(api_tokens).where(api_tokens.c.secret_hash == secret_hash)
            row = (await connection.execute(query)).one_or_none()
            return _token(row) if row else None

    async def token(self, id: str) -> ApiToken:  # noqa: A002 - the word of the API
        """Return a token. Raises NotFoundError."""
        async with self._database.reading() as connection:
            return await _one(connection, id)

    async def tokens(self, before: str | None = None, limit: int | None = None) -> Sequence[ApiToken]:
        """Return tokens, newest first: those made before that one, at most so many."""
        query = select(api_tokens).order_by(*(column.desc() for column in _MADE)).limit(limit)
        async with self._database.reading() as connection:
            if before is not None:
                last = await _one(connection, before)
                query = query.where(tuple_(*_MADE) < (last.created_at, last.id))
            return [_token(row) for row in await connection.execute(query)]

    async def revoke_token(self, id: str, now: datetime) -> ApiToken:  # noqa: A002 - the word of the API
        """Revoke a token; one that is revoked already stays as it is."""
        first = func.coalesce(api_tokens.c.revoked_at, now)
        async with self._database.writing() as connection:
            await connection.execute(update(api_tokens).where(api_tokens.c.id == id).values(revoked_at=first))
            return await _one(connection, id)

    async def note_use(self, id: str, now: datetime) -> None:  # noqa: A002 - the word of the API
        """Remember when a token was used last."""
        async with self._database.writing() as connection:
            await connection.execute(update(api_tokens).where(api_tokens.c.id == id).values(last_used_at=now))


async def _one(connection: AsyncConnection, id: str) -> ApiToken:  # noqa: A002 - the word of the API
    row = (await connection.execute(select(api_tokens).where(api_tokens.c.id == id))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no token {id}: list them with foundry-rollouts token list")
    return _token(row)


def _token(row: Row[Any]) -> ApiToken:
    return ApiToken(
        id=row.id,
        owner=row.owner,
        role=Role(row.role),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
