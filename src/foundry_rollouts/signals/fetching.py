"""Fetching JSON from a server that is not the cloud: one request, little patience, nothing followed."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import httpx

from foundry_rollouts.signals.credentials import Credentials, Login
from foundry_rollouts.signals.manners import Budget
from foundry_rollouts.signals.numbers import TroubleError

#: A server that takes longer is silent.
LIMIT = timedelta(seconds=5)
#: More than any answer with counts needs.
LARGEST = 1_000_000

NOBODY = Login(None, (), None)
ASKS_FOR_LOGIN = " (it asks for a login: name its credentials in the policy)"


@dataclass(slots=True)
class Fetcher:
    """Asks within the budget that all sources share."""

    budget: Budget
    limit: timedelta = LIMIT
    credentials: Credentials = field(default_factory=Credentials)
    _client: httpx.AsyncClient | None = None

    async def json(self, url: str, params: Mapping[str, str], credentials: str | None = None) -> Any:
        """Return the JSON at ``url``; an error of HTTP whose body is JSON is raised with its ``error`` text.

        ``credentials`` names how to log in. Raises TroubleError, in words that hold neither the query nor a secret.
        """
        login = await self.credentials.login(credentials, url) if credentials else NOBODY
        try:
            async with self.budget.turn(self.limit):
                status, body = await self._get(url, params, login)
        except httpx.HTTPError as error:
            raise TroubleError(f"cannot be reached ({type(error).__name__})") from error
        except httpx.InvalidURL as error:
            raise TroubleError("the address is no address") from error
        return _read(status, body, login)

    async def _get(self, url: str, params: Mapping[str, str], login: Login) -> tuple[int, bytes]:
        whole = httpx.URL(url).copy_merge_params(dict(params)) if params else httpx.URL(url)
        headers = {"Authorization": login.header} if login.header else {}
        if login.trust is None:
            self._client = self._client or self._new_client()
            return await _answer(self._client, whole, headers)
        async with self._new_client(login.trust) as client:
            return await _answer(client, whole, headers)

    def _new_client(self, trust: ssl.SSLContext | None = None) -> httpx.AsyncClient:
        patience = self.limit.total_seconds()
        accept = {"Accept": "application/json"}
        return httpx.AsyncClient(timeout=patience, headers=accept, verify=True if trust is None else trust)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


async def _answer(client: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str]) -> tuple[int, bytes]:
    async with client.stream("GET", url, headers=headers) as answer:
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > LARGEST:
                raise TroubleError(f"answers with more than {LARGEST} bytes")
        return answer.status_code, body


def _read(status: int, body: bytes, login: Login) -> Any:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        if status < 300:
            raise TroubleError("the answer is not JSON") from error
        answer = None
    if status >= 300:
        said = answer.get("error") if isinstance(answer, dict) else None
        text = f": {login.without_secrets(said)[:200]}" if isinstance(said, str) else ""
        asks = status == HTTPStatus.UNAUTHORIZED and login is NOBODY
        raise TroubleError(f"HTTP {status}{text}{ASKS_FOR_LOGIN if asks else ''}")
    return answer
