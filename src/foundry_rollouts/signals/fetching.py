"""Fetching JSON from a server that is not the cloud: one request, little patience, nothing followed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from foundry_rollouts.signals.manners import Budget
from foundry_rollouts.signals.numbers import TroubleError

#: A server that takes longer is silent.
LIMIT = timedelta(seconds=5)
#: More than any answer with counts needs.
LARGEST = 1_000_000


@dataclass(slots=True)
class Fetcher:
    """Asks within the budget that all sources share."""

    budget: Budget
    limit: timedelta = LIMIT
    _client: httpx.AsyncClient | None = None

    async def json(self, url: str, params: Mapping[str, str]) -> Any:
        """Return the JSON at ``url``; an error of HTTP whose body is JSON is raised with its ``error`` text.

        Raises TroubleError, in words that hold neither the query nor a secret.
        """
        try:
            async with self.budget.turn(self.limit):
                status, body = await self._get(url, params)
        except httpx.HTTPError as error:
            raise TroubleError(f"cannot be reached ({type(error).__name__})") from error
        except httpx.InvalidURL as error:
            raise TroubleError("the address is no address") from error
        return _read(status, body)

    async def _get(self, url: str, params: Mapping[str, str]) -> tuple[int, bytes]:
        patience = self.limit.total_seconds()
        self._client = self._client or httpx.AsyncClient(timeout=patience, headers={"Accept": "application/json"})
        whole = httpx.URL(url).copy_merge_params(dict(params)) if params else httpx.URL(url)
        async with self._client.stream("GET", whole) as answer:
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST:
                    raise TroubleError(f"answers with more than {LARGEST} bytes")
            return answer.status_code, body

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _read(status: int, body: bytes) -> Any:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise TroubleError(f"HTTP {status}" if status >= 300 else "the answer is not JSON") from error
    if status >= 300:
        said = answer.get("error") if isinstance(answer, dict) else None
        raise TroubleError(f"HTTP {status}" + (f": {said[:200]}" if isinstance(said, str) else ""))
    return answer
