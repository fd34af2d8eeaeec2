"""API tokens: made, shown once, checked, revoked. Of a secret only its hash is kept."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from foundry_rollouts.core.model.access import ApiToken, Person, Role, Way
from foundry_rollouts.errors import ConflictError, NotFoundError, StoreError, UnknownPersonError
from foundry_rollouts.operations.paging import cut, one_more
from foundry_rollouts.ports import Tokens

PREFIX = "frt_"  #: So that scanners of repositories and logs find what leaked.
SECRET_BYTES = 32
#: The use of a token is noted to this precision: each note is a write.
NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made, with the secret that nobody will see again."""

    token: ApiToken
    secret: str


async def make_token(store: Tokens, token: ApiToken) -> NewToken:
    """Write ``token`` down and return it with its secret. Raises ConflictError when there is one of that id."""
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    if not await store.add_token(token, _hash(secret)):
        raise ConflictError(f"there is a token {token.id} already: it was made under the same idempotency key")
    return NewToken(token, secret)


async def made_before(store: Tokens, wanted: ApiToken) -> ApiToken | None:
    """Return what the same request made before; None: it is new.

    Raises ConflictError when the id of ``wanted``, which comes from its idempotency key, served another request.
    """
    try:
        made = await store.token(wanted.id)
    except NotFoundError:
        return None
    if (made.owner, made.role, _lasts(made)) != (wanted.owner, wanted.role, _lasts(wanted)):
        raise ConflictError(
            f"the idempotency key was used for another request: it made token {made.id} of {made.owner}, {made.role}"
        )
    return made


def id_under(key: str) -> str:
    """Return the id of the token that is made under an idempotency key: there can never be a second one."""
    return f"k{sha256(key.encode()).hexdigest()[:20]}"


def _lasts(token: ApiToken) -> timedelta | None:
    return None if token.expires_at is None else token.expires_at - token.created_at


async def person_with(store: Tokens, secret: str, now: datetime) -> Person:
    """Return who shows ``secret``. Raises UnknownPersonError when it opens nothing, or nothing any more."""
    token = await store.token_of(_hash(secret))
    if token is None:
        raise UnknownPersonError("this token is not known here: ask an admin for one")
    if refusal := token.refusal(now):
        raise UnknownPersonError(f"{refusal}: ask an admin for another")
    if token.last_used_at is None or token.last_used_at <= now - NOTED_EVERY:
        with suppress(StoreError):  # Who may come in must not depend on a write.
            await store.note_use(token.id, now)
    return Person(token.owner, token.role, Way.TOKEN, token.id)


async def every_token(store: Tokens) -> Sequence[ApiToken]:
    """Return every token that was ever made, newest first."""
    return await store.tokens()


async def tokens_page(store: Tokens, before: str | None, limit: int | None) -> tuple[Sequence[ApiToken], str | None]:
    """Return one page of tokens, newest first, and where the following one begins; without a limit, all of them.

    Raises NotFoundError for an unknown ``before``.
    """
    return cut(await store.tokens(before, one_more(limit)), limit, lambda token: token.id)


async def revoke_token(store: Tokens, id: str, now: datetime) -> ApiToken:  # noqa: A002 - the word of the API
    """Revoke a token: from now on it opens nothing, on any replica. Raises NotFoundError."""
    return await store.revoke_token(id, now)


def token_for(owner: str, role: Role, now: datetime, lasts: timedelta | None, id: str) -> ApiToken:  # noqa: A002
    """Return the token to make for ``owner``; it expires after ``lasts``, or never."""
    token = ApiToken(id, owner, role, now)
    return token if lasts is None else replace(token, expires_at=now + lasts)


def _hash(secret: str) -> str:
    # The secret is random and long: there is nothing to guess that a slow hash would protect.
    return sha256(secret.encode()).hexdigest()
