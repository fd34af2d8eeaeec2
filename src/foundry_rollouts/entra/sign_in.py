"""Signing people in at the identity provider: authorization code with PKCE, by Microsoft's library.

The library speaks to the provider and checks the state and the nonce; whom the ID token names is checked by ``people``
as strictly as any token.
"""

import asyncio
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msal
import requests

from foundry_rollouts.core.model.access import Person
from foundry_rollouts.entra.people import Entra
from foundry_rollouts.errors import UnavailableError, UnknownPersonError

#: What is to be kept until the person comes back; where to send them is not part of it.
KEPT = ("state", "nonce", "code_verifier", "redirect_uri")
ANSWER_SECONDS = 10.0
#: The library would have the browser post the answer. That comes from another site, so that the cookie of the sign-in
#: that was begun would stay behind; the code in the address serves nobody without that cookie.
warnings.filterwarnings("ignore", message="response_mode='form_post'", category=UserWarning)
LONGEST = 300  #: Characters of what the provider says of an error.


@dataclass(frozen=True, slots=True)
class Client:
    """Our app registration."""

    id: str
    secret: str | None  #: None: a public client.
    issuer: str


class SignInAtProvider:
    """The identity provider, as far as it signs people in."""

    def __init__(self, client: Client, people: Entra) -> None:
        self._client = client
        self._people = people

    async def begin(self, back: str) -> Mapping[str, str]:
        """Return what to keep until the person comes back to ``back``; ``auth_uri`` is where to send them."""
        app = await _asked(self._open)
        flow = await _asked(app.initiate_auth_code_flow, [], redirect_uri=back)
        return {name: str(flow[name]) for name in (*KEPT, "auth_uri")}

    async def finish(self, begun: Mapping[str, str], answer: Mapping[str, str]) -> Person:
        """Return who came back with ``answer``."""
        if any(name not in begun for name in KEPT):
            raise UnknownPersonError("the sign-in was begun in another browser, or too long ago: begin again")
        app = await _asked(self._open)
        flow = {**{name: begun[name] for name in KEPT}, "scope": ["openid"], "claims_challenge": None}
        try:
            result = await _asked(app.acquire_token_by_auth_code_flow, flow, dict(answer))
        except (
            ValueError,
            RuntimeError,
            KeyError,
        ):  # The state or the nonce is another one's, or something is missing.
            raise UnknownPersonError("the answer belongs to another sign-in: begin again") from None
        if "id_token" not in result:
            said = str(result.get("error_description") or result.get("error") or "no reason")[:LONGEST]
            raise UnknownPersonError(f"the identity provider did not sign you in: {said.splitlines()[0]}")
        return await self._people.signed_in(str(result["id_token"]), self._client.id)

    def _open(self) -> msal.ClientApplication:
        """Return the library's view of the provider: a new one each time, because it keeps every token it was given."""
        common: dict[str, Any] = {
            "oidc_authority": self._client.issuer,
            "timeout": ANSWER_SECONDS,
        }
        if self._client.secret is None:
            return msal.PublicClientApplication(self._client.id, **common)
        return msal.ConfidentialClientApplication(self._client.id, client_credential=self._client.secret, **common)


async def _asked(call: Any, *words: Any, **more: Any) -> Any:
    """Ask the library, which waits for the network, in a thread. Raises UnavailableError when nobody answers."""
    try:
        return await asyncio.to_thread(call, *words, **more)
    except requests.RequestException as error:
        raise UnavailableError(f"the identity provider does not answer ({type(error).__name__}): try again") from error
