"""Signing in to the dashboard and out again. The browser keeps a random secret, the database what it hashes to."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from foundry_rollouts.core.model.access import Person, SignIn
from foundry_rollouts.errors import NotFoundError, StoreError, UnknownPersonError
from foundry_rollouts.ports import Store

SECRET_BYTES = 32
#: Its use is noted to this precision: each note is a write.
NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long people stay signed in."""

    idle: timedelta = timedelta(hours=8)
    longest: timedelta = timedelta(hours=24)


async def begin_sign_in(store: Store, person: Person, limits: Limits, now: datetime) -> str:
    """Sign ``person`` in and return the secret for the browser: always a new one, whatever the browser had before."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with suppress(StoreError):  # What is over opens nothing, whether it is still there or not.
        await store.forget_sign_ins(now - limits.longest)
    begun = SignIn(person.name, person.role, person.way, person.token, now, now, person.groups)
    await store.add_sign_in(_hash(secret), begun)
    return secret


async def signed_in(store: Store, secret: str, limits: Limits, now: datetime, *, is_use: bool = True) -> Person:
    """Return who is signed in with ``secret``. Raises UnknownPersonError when nobody is, or nobody any more.

    An open page that only watches is no use, or nobody who leaves one open would ever be signed out.
    """
    found = await store.sign_in(_hash(secret))
    if found is None:
        raise UnknownPersonError("you are signed out")
    if refusal := found.refusal(now, limits.idle, limits.longest) or await _refusal_of_token(store, found, now):
        raise UnknownPersonError(f"you are signed out: {refusal}")
    if is_use and found.used_at <= now - NOTED_EVERY:
        with suppress(StoreError):  # Who may come in must not depend on a write.
            await store.note_sign_in_use(_hash(secret), now)
    return found.person


async def sign_out(store: Store, secret: str) -> None:
    """End the sign-in of ``secret``."""
    await store.end_sign_in(_hash(secret))


async def sign_out_everywhere(store: Store, person: Person) -> int:
    """End every sign-in of ``person``, in every browser; return how many."""
    return await store.end_sign_ins_of(person.name)


def form_key(secret: str) -> str:
    """Return what a form of ours carries, so that only pages drawn for this browser's sign-in can send it."""
    return sha256(b"form:" + secret.encode()).hexdigest()


async def _refusal_of_token(store: Store, found: SignIn, now: datetime) -> str | None:
    if found.token is None:
        return None
    try:
        return (await store.token(found.token)).refusal(now)
    except NotFoundError:
        return "the token you signed in with is gone"


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
