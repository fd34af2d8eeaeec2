"""What is asked of those who keep people signed in to the dashboard, and of those who sign them in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from foundry_rollouts.core.model.access import Person, SignIn


class SignIns(Protocol):
    """Who is signed in. Secrets never come here, only what they hash to."""

    async def add_sign_in(self, secret_hash: str, sign_in: SignIn) -> None: ...

    async def sign_in(self, secret_hash: str) -> SignIn | None:
        """Return the sign-in of that secret, also when it is over; None: it ended, or it never was."""

    async def note_sign_in_use(self, secret_hash: str, now: datetime) -> None:
        """Remember when it was used last."""

    async def end_sign_in(self, secret_hash: str) -> None: ...

    async def end_sign_ins_of(self, name: str) -> int:
        """End every sign-in of that person, in every browser; return how many."""

    async def forget_sign_ins(self, before: datetime) -> None:
        """Take away those that began before that time."""


class Directory(Protocol):
    """The organisation's identity provider, as far as it signs people in (authorization code with PKCE)."""

    async def begin(self, back: str) -> Mapping[str, str]:
        """Return what is to be remembered until the person comes back to ``back``; ``auth_uri`` is where to send them.

        Raises UnavailableError while the provider does not answer.
        """

    async def finish(self, begun: Mapping[str, str], answer: Mapping[str, str]) -> Person:
        """Return who came back with ``answer``.

        Raises UnknownPersonError when the provider refused, or the answer belongs to another sign-in; NotAllowedError
        for somebody without a role; UnavailableError while the provider does not answer.
        """
