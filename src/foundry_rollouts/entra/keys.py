"""The public keys of an identity provider: kept, fetched anew in time, and never because of what somebody sends.

A key id that nobody knows may be a new key, so that the provider is asked; at most once a minute, or a flood of made-up
ids would have us flood the provider. The same holds while it does not answer.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog
from jwt import PyJWK, PyJWKClient, PyJWKSet
from jwt.exceptions import PyJWKClientError, PyJWKSetError, PyJWTError

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import UnavailableError

log = structlog.get_logger(__name__)

#: How long between two questions to the provider, whatever came of the first.
PAUSE = timedelta(minutes=1)
#: Keys of this age are fetched anew, while they serve on: one that the provider withdrew is gone soon after.
FRESH = timedelta(minutes=5)
#: Keys of this age serve no more, when the provider did not answer for so long.
KEPT = timedelta(hours=24)
ANSWER_SECONDS = 5.0

DISCOVERY = "/.well-known/openid-configuration"


class Keys:
    """The keys of ``issuer``; ``elapsed`` is a clock that only goes forward, in seconds."""

    def __init__(self, issuer: str, elapsed: Callable[[], float], pause: timedelta = PAUSE) -> None:
        self._issuer = issuer
        self._elapsed = elapsed
        self._pause = pause.total_seconds()
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> PyJWK | None:
        """Return the key of that id; None when the provider has none. Raises UnavailableError while nobody can say."""
        known = self._serving(kid)
        if known is None or self._age() > FRESH.total_seconds():
            self._ask()
        if known is None and self._fetching is not None:
            await asyncio.wait({self._fetching})
            known = self._serving(kid)
        if known is None and self._age() >= KEPT.total_seconds():
            raise UnavailableError(f"the keys of {self._issuer} cannot be had just now: try again in a minute")
        return known

    async def close(self) -> None:
        """Wait for no answer any more."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _serving(self, kid: str) -> PyJWK | None:
        return self._keys.get(kid) if self._age() < KEPT.total_seconds() else None

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._elapsed() - self._fetched_at

    def _ask(self) -> None:
        """Begin to fetch the keys, unless that is under way or was tried a moment ago."""
        is_early = self._asked_at is not None and self._elapsed() - self._asked_at < self._pause
        if self._fetching is None and not is_early:
            self._asked_at = self._elapsed()
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)

    async def _fetch(self) -> None:
        try:
            self._keys = await asyncio.to_thread(_keys_of, self._issuer)
        except (PyJWTError, OSError, ValueError) as error:
            log.warning("access.keys_not_fetched", issuer=self._issuer, because=str(error))
        else:
            self._fetched_at = self._elapsed()

    def _fetched(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None


def _keys_of(issuer: str) -> Mapping[str, PyJWK]:
    """Fetch the keys that ``issuer`` signs with; it takes a thread, and some seconds at most."""
    described = _fetch(issuer + DISCOVERY)
    if described.get("issuer") != issuer:
        raise PyJWKClientError(f"{issuer}{DISCOVERY} describes another issuer")
    address = str(described.get("jwks_uri"))
    if not address.startswith("https://") and not is_loopback(host_of(address)):
        raise PyJWKClientError(f"{issuer}{DISCOVERY} names keys that would come in the clear")
    keys = PyJWKSet.from_dict(_fetch(address)).keys
    signing = {str(key.key_id): key for key in keys if key.key_id and key.public_key_use in {"sig", None}}
    if not signing:
        raise PyJWKSetError(f"{address} holds no key to sign with")
    return signing


def _fetch(address: str) -> dict[str, Any]:
    # It follows no redirect and opens nothing but http and https.
    return dict(PyJWKClient(address, cache_jwk_set=False, timeout=ANSWER_SECONDS).fetch_data())
