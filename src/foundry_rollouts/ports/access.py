"""What is asked of those who know people: the tokens that we gave out, and the organisation's identity provider."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from foundry_rollouts.core.model.access import ApiToken, Person


class Tokens(Protocol):
    """The API tokens. Secrets never come here, only what they hash to."""

    async def add_token(self, token: ApiToken, secret_hash: str) -> bool:
        """Add a token; whether it is new, which it is not when there is one of that id."""

    async def token_of(self, secret_hash: str) -> ApiToken | None:
        """Return the token of that secret, also when it opens nothing any more."""

    async def token(self, id: str) -> ApiToken:  # noqa: A002 - the word of the API
        """Return the token ``id``. Raises NotFoundError."""

    async def tokens(self, before: str | None = None, limit: int | None = None) -> Sequence[ApiToken]:
        """Return tokens that were ever made, newest first: those made before that one, at most so many.

        Raises NotFoundError for an unknown ``before``.
        """

    async def revoke_token(self, id: str, now: datetime) -> ApiToken:  # noqa: A002 - the word of the API
        """Revoke the token ``id``; one that is revoked already stays so. Raises NotFoundError."""

    async def note_use(self, id: str, now: datetime) -> None:  # noqa: A002 - the word of the API
        """Remember when the token was used last."""


class Identities(Protocol):
    """The organisation's identity provider."""

    async def person(self, token: str) -> Person:
        """Return who shows ``token``.

        Raises UnknownPersonError, NotAllowedError for somebody without a role, UnavailableError while nobody can say.
        """

    def known(self, claims: Mapping[str, Any]) -> Person:
        """Return whom the claims of a token that was checked name. Raises NotAllowedError for no role."""
