"""Tokens for the cloud: where they come from, and how long one is used.

Tokens are never logged, and none is sent in the clear but the fixed one of the local Foundry.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import CloudError, Refusal, UsageError
from foundry_rollouts.foundry.retry import NO_CREDENTIAL
from foundry_rollouts.untrusted import clean

FOUNDRY = "https://ai.azure.com/.default"  #: The audience of agents, sessions and invocations.
ARM = "https://management.azure.com/.default"  #: The audience of role assignments.

NO_LOGIN = "no login to Azure was found"
#: How the library begins when none of its credentials has a token; a paragraph for each of them follows.
_NONE_OF_THEM = "DefaultAzureCredential failed to retrieve a token"

EARLY = timedelta(minutes=5)  #: A token is renewed this long before it ends.
TOKEN_TIMEOUT = timedelta(seconds=60)  #: A credential that is silent for so long has none.


class TokenSource(Protocol):
    """Where a bearer token comes from."""

    async def token(self, audience: str, rejected: str | None = None) -> str:
        """Return a token for ``audience``, not ``rejected`` where there is another. Raises CloudError."""


class AzureCredential(Protocol):
    """What this module asks of a synchronous credential of azure-identity."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Any: ...


class FixedToken:
    """The token of the local Foundry, which takes any; the client refuses it for any other address."""

    async def token(self, audience: str, rejected: str | None = None) -> str:  # noqa: ARG002 - a port
        return "emulator"


class EntraTokens:
    """Tokens of a synchronous azure-identity credential, asked for in a thread, one request at a time."""

    def __init__(
        self, credential: AzureCredential, now: Callable[[], datetime], timeout: timedelta = TOKEN_TIMEOUT
    ) -> None:
        self._credential = credential
        self._now = now
        self._timeout = timeout
        self._held: dict[str, tuple[str, datetime]] = {}
        self._flight: dict[str, asyncio.Task[str]] = {}

    async def token(self, audience: str, rejected: str | None = None) -> str:
        """Return the held token, or a new one when it ends within ``EARLY`` or was rejected."""
        if held := self._fresh(audience, rejected):
            return held
        flight = self._flight.get(audience)
        if flight is None or flight.done():
            flight = self._flight[audience] = asyncio.create_task(self._renew(audience, rejected))
            flight.add_done_callback(_noticed)
        # A caller that is out of time leaves; the others, and the next one, have use for the token.
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await asyncio.shield(flight)
        except TimeoutError as error:
            raise _unavailable(f"the credential gave no token within {self._timeout.seconds} s") from error

    def _fresh(self, audience: str, rejected: str | None, early: timedelta = EARLY) -> str | None:
        token, ends_at = self._held.get(audience, (None, datetime.min.replace(tzinfo=UTC)))
        return token if token != rejected and ends_at - early > self._now() else None

    async def _renew(self, audience: str, rejected: str | None) -> str:
        from azure.core.exceptions import AzureError

        try:
            found = await asyncio.to_thread(self._credential.get_token, audience)
        except AzureError as error:
            if still_good := self._fresh(audience, rejected, early=timedelta(0)):
                return still_good
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise _unavailable(clean(NO_LOGIN if reason.startswith(_NONE_OF_THEM) else reason)) from error
        self._held[audience] = (found.token, datetime.fromtimestamp(found.expires_on, UTC))
        return str(found.token)


def _unavailable(reason: str) -> CloudError:
    return CloudError("token", Refusal(None, NO_CREDENTIAL, reason))


def _noticed(flight: asyncio.Task[str]) -> None:
    """Look at the outcome, since every caller may have left by now."""
    if not flight.cancelled():
        flight.exception()


def credential_for(name: str, endpoint: str, now: Callable[[], datetime]) -> TokenSource:
    """Return the tokens that the setting names: ``default`` or ``emulator``. Raises UsageError."""
    if name == "emulator":
        if not is_loopback(host_of(endpoint)):
            raise UsageError(
                f"credential emulator is only for a Foundry on this machine, not for {endpoint}: use default"
            )
        return FixedToken()
    if name != "default":
        raise UsageError(f"credential {name!r} is unknown: use default or emulator")
    from azure.identity import DefaultAzureCredential

    return EntraTokens(DefaultAzureCredential(), now)
