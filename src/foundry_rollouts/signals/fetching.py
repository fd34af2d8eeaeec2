"""Fetching JSON from a server that is not the cloud: one request, little patience, nothing followed."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

from foundry_rollouts.network import carrier
from foundry_rollouts.signals.credentials import Credentials, Login
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.reported import NotWholeError, SourceError
from foundry_rollouts.signals.wholeness import flaw_of

#: A server that takes longer is silent.
LIMIT = timedelta(seconds=5)
#: Seconds: a cache that tells of a greater age tells of this one.
OLDEST = 10_000_000
#: More than any answer with counts needs.
LARGEST = 1_000_000

NOBODY = Login(None, (), None)
ASKS_FOR_LOGIN = " (it asks for a login: name its credentials in the policy)"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server answered, and for how long a cache on the way kept it."""

    document: Any
    age: timedelta = timedelta(0)


@dataclass(slots=True)
class Fetcher:
    """Asks within budgets, one for each server; agents take turns."""

    budget: RateLimiter
    limit: timedelta = LIMIT
    credentials: Credentials = field(default_factory=Credentials)
    _client: httpx.AsyncClient | None = None

    async def json(self, url: str, params: Mapping[str, str], credentials: str | None = None, who: str = "") -> Fetched:
        """Return the JSON at ``url``; an error of HTTP whose body is JSON is raised with its ``error`` text.

        ``credentials`` names how to log in, ``who`` whose turn it is. Raises SourceError, in words that hold neither
        the query nor a secret, NotWholeError for an answer that says of itself that a part is missing.
        """
        login = await self.credentials.login(credentials, url) if credentials else NOBODY
        try:
            async with self.budget.at(urlsplit(url).netloc).turn(self.limit, who):
                answer, body = await self._get(url, params, login)
        except httpx.HTTPError as error:
            raise SourceError(f"cannot be reached ({type(error).__name__})") from error
        except (httpx.InvalidURL, ValueError) as error:
            raise SourceError("the address is no address") from error
        return Fetched(_read(answer.status_code, body, login), _age(answer))

    async def _get(self, url: str, params: Mapping[str, str], login: Login) -> tuple[httpx.Response, bytes]:
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
        # A server that hangs must not hold the connections that others need; budgets say how many there can be.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        trust = trust or httpx.create_ssl_context()
        return httpx.AsyncClient(
            timeout=patience, headers=accept, limits=limits, verify=trust, transport=carrier(trust)
        )

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


async def _answer(
    client: httpx.AsyncClient, url: httpx.URL, headers: Mapping[str, str]
) -> tuple[httpx.Response, bytes]:
    async with client.stream("GET", url, headers=headers) as answer:
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > LARGEST:
                raise SourceError(f"answers with more than {LARGEST} bytes")
        return answer, body


def _age(answer: httpx.Response) -> timedelta:
    """Return how long a cache says that it kept the answer."""
    age = answer.headers.get("Age", "").strip()
    return timedelta(seconds=min(int(age), OLDEST)) if age.isdecimal() else timedelta(0)


def _read(status: int, body: bytes, login: Login) -> Any:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        if status < 300:
            raise SourceError("the answer is not JSON") from error
        answer = None
    if status >= 300:
        said = answer.get("error") if isinstance(answer, dict) else None
        text = f": {login.without_secrets(said)[:200]}" if isinstance(said, str) else ""
        asks = status == HTTPStatus.UNAUTHORIZED and login is NOBODY
        raise SourceError(f"HTTP {status}{text}{ASKS_FOR_LOGIN if asks else ''}")
    flaw = "answers in part only: HTTP 206" if status == HTTPStatus.PARTIAL_CONTENT else flaw_of(answer)
    if flaw:
        raise NotWholeError(login.without_secrets(flaw))
    return answer
