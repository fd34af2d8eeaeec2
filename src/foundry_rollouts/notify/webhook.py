"""The receiver behind an address: one POST for each message, confirmed by any 2xx, nothing followed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from foundry_rollouts.core.model.agent_names import project_in
from foundry_rollouts.notify.cloudevent import cloudevent_of, headers_of
from foundry_rollouts.notify.dispatcher import UndeliveredError
from foundry_rollouts.ports import Message

#: What a receiver says beyond its status is read so far, that the connection can be used again, and forgotten.
LONGEST_ANSWER = 16_384


@dataclass(slots=True)
class Webhook:
    """Implements ``Receiver``. What it raises holds no part of the address, which may let in who knows it."""

    url: str = field(repr=False)
    source: str  #: The project that the messages are about.
    key: bytes | None = field(repr=False)  #: What to sign with; None: nothing is signed.
    limit: timedelta
    now: Callable[[], datetime]
    sources: Mapping[str, str] = field(default_factory=dict)  #: Of several projects, by the name of each.
    _client: httpx.AsyncClient | None = field(default=None, init=False)

    async def tell(self, message: Message) -> None:
        """Post ``message``; raise UndeliveredError unless it is confirmed in time."""
        source = self.sources.get(project_in(message.event.agent), self.source)
        cloudevent = cloudevent_of(message, source)
        headers = headers_of(cloudevent, self.now(), self.key)
        try:
            async with asyncio.timeout(self.limit.total_seconds()):
                status, retry_after = await self._post(cloudevent.body, headers)
        except TimeoutError as error:
            raise UndeliveredError(f"the receiver gave no answer within {self.limit.total_seconds():g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UndeliveredError(f"the receiver cannot be reached ({type(error).__name__})") from error
        if not 200 <= status < 300:
            raise UndeliveredError(f"the receiver answers HTTP {status}", retry_after)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, timedelta | None]:
        patience = self.limit.total_seconds()
        self._client = self._client or httpx.AsyncClient(timeout=patience, headers={"User-Agent": "foundry-rollouts"})
        async with self._client.stream("POST", self.url, content=body, headers=headers) as answer:
            said = 0
            async for chunk in answer.aiter_raw():
                said += len(chunk)
                if said > LONGEST_ANSWER:
                    break
            return answer.status_code, _seconds(answer.headers.get("Retry-After"))


def _seconds(text: str | None) -> timedelta | None:
    """Return the pause that a receiver asks for in seconds; a date is not understood."""
    return timedelta(seconds=int(text)) if text and text.isascii() and text.isdigit() and len(text) < 9 else None
