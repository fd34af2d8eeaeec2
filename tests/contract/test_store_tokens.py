"""The tokens of a store: kept by the hash of their secret, on both databases, and revoked for every replica at once."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from builders import NOON
from databases import writing
from foundry_rollouts.core.model.access import ApiToken, Role
from foundry_rollouts.errors import NotFoundError, StoreError
from foundry_rollouts.operations.tokens import make_token, person_with
from foundry_rollouts.store.store import SqlStore

TOKEN = ApiToken("t-1", "ann", Role.OPERATOR, NOON, NOON + timedelta(days=1))


async def test_a_token_is_found_by_its_hash_and_by_nothing_else(store: SqlStore) -> None:
    await store.add_token(TOKEN, "hash")
    assert await store.token_of("hash") == TOKEN == await store.token("t-1")
    assert await store.token_of("t-1") is None
    assert await store.token_of("HASH") is None


async def test_two_tokens_never_share_a_secret(store: SqlStore) -> None:
    await store.add_token(TOKEN, "hash")
    with pytest.raises(StoreError):
        await store.add_token(ApiToken("t-2", "bob", Role.ADMIN, NOON), "hash")


async def test_tokens_are_listed_newest_first_and_by_pages(store: SqlStore) -> None:
    later = ApiToken("a-later", "bob", Role.CALLER, NOON + timedelta(seconds=1))
    same = replace(later, id="b-later")
    for token in (later, TOKEN, same):
        await store.add_token(token, token.id)
    assert await store.tokens() == [same, later, TOKEN]
    assert await store.tokens(limit=2) == [same, later]
    assert await store.tokens(before="b-later", limit=1) == [later]
    assert await store.tokens(before="t-1") == []
    with pytest.raises(NotFoundError):
        await store.tokens(before="nothing")


async def test_a_revoked_token_stays_as_it_was_revoked_first(store: SqlStore) -> None:
    await store.add_token(TOKEN, "hash")
    assert (await store.revoke_token("t-1", NOON)).revoked_at == NOON
    assert (await store.revoke_token("t-1", NOON + timedelta(hours=1))).revoked_at == NOON
    assert (await store.token("t-1")).revoked_at == NOON


async def test_a_token_that_nobody_knows_cannot_be_revoked(store: SqlStore) -> None:
    with pytest.raises(NotFoundError, match="there is no token t-9: list them with foundry-rollouts token list"):
        await store.revoke_token("t-9", NOON)


async def test_the_last_use_is_remembered(store: SqlStore) -> None:
    await store.add_token(TOKEN, "hash")
    await store.note_use("t-1", NOON)
    assert (await store.token("t-1")).last_used_at == NOON


async def test_the_database_holds_nothing_to_come_in_with(store: SqlStore, database_url: str) -> None:
    secret = (await make_token(store, TOKEN)).secret
    assert (await person_with(store, secret, NOON)).name == "ann"
    async with writing(database_url) as connection:
        (row,) = (await connection.execute(text("SELECT * FROM api_tokens"))).all()
    assert secret.removeprefix("frt_") not in str(row)
