"""Marks of a rollout's moves where people look already: Grafana, Application Insights, GitHub's deployments.

Each is a target like others, by the same queue and the same retries, and hears of moves alone.
"""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import httpx

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.notify.dispatcher import UndeliveredError
from foundry_rollouts.notify.wording import Words
from foundry_rollouts.ports import Notice

#: What moves users, or ends that.
MOVES = frozenset(
    f"rollout.{word}"
    for word in ("started", "advanced", "stepped_back", "promoted", "rolled_back", "disabled", "superseded")
)
_ENDS = {"promoted": "success", "rolled_back": "failure", "disabled": "failure", "superseded": "inactive"}
_MANAGEMENT = "https://management.azure.com/.default"
DESCRIPTION = 140  #: Characters that GitHub takes.


@dataclass(slots=True)
class Marker:
    """Sends requests to one service; what it raises holds neither its token nor what it answered."""

    url: str
    token: str | None = field(repr=False)
    limit: timedelta
    _client: httpx.AsyncClient | None = field(default=None, init=False)

    async def say(self, words: Words, key: str) -> None:
        """Leave the mark of a move; a test message only checks that there is something to send it with."""
        notice = words.about
        try:
            async with asyncio.timeout(self.limit.total_seconds()):
                await (self.check() if notice is None else self.leave(notice, words, key))
        except TimeoutError as error:
            raise UndeliveredError(f"it gave no answer within {self.limit.total_seconds():g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
            raise UndeliveredError(f"it cannot be reached or understood ({type(error).__name__})") from error

    async def check(self) -> None:
        """Raise UndeliveredError when the service does not let us in."""
        raise NotImplementedError

    async def leave(self, notice: Notice, words: Words, key: str) -> None:
        """Leave the mark of one move."""
        raise NotImplementedError

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _ask(self, method: str, path: str, token: str | None = None, **more: Any) -> Any:
        self._client = self._client or httpx.AsyncClient(timeout=self.limit.total_seconds())
        headers = {"Authorization": f"Bearer {token or self.token}", "User-Agent": "foundry-rollouts"}
        answer = await self._client.request(method, f"{self.url}{path}", headers=headers, **more)
        if not answer.is_success:
            raise UndeliveredError(f"it answers HTTP {answer.status_code}")
        return answer.json() if answer.content else None


class Grafana(Marker):
    """An annotation: https://grafana.com/docs/grafana/latest/developers/http_api/annotations/ (create annotation)."""

    async def check(self) -> None:
        """Raise UndeliveredError when the service does not let us in."""
        await self._ask("GET", "/api/annotations?limit=1&tags=foundry-rollouts")

    async def leave(self, notice: Notice, words: Words, key: str) -> None:
        """Leave the mark of one move."""
        del key
        event = notice.event
        tags = ["foundry-rollouts", f"agent:{event.agent}", event.kind.rpartition(".")[2]]
        body = {"time": int(event.at.timestamp() * 1000), "tags": tags, "text": f"{words.title}\n{words.text}"}
        await self._ask("POST", "/api/annotations", json=body)


@dataclass(slots=True)
class ApplicationInsights(Marker):
    """A release annotation of one resource, which ``path`` names.

    https://learn.microsoft.com/azure/azure-monitor/app/release-and-work-item-insights (create release annotations with
    the Azure CLI): PUT of Id, AnnotationName, EventTime, Category and Properties, the last as JSON text. The same
    message has the same Id, so that it is one annotation however often it is sent.
    """

    path: str = ""

    async def check(self) -> None:
        """Raise UndeliveredError when nobody gives us a token."""
        await self._own_token()

    async def leave(self, notice: Notice, words: Words, key: str) -> None:
        """Leave the mark of one move."""
        event = notice.event
        properties = {"ReleaseName": words.title, "ReleaseDescription": words.text, "Agent": event.agent}
        body = {
            "Id": str(uuid5(NAMESPACE_URL, key)),
            "AnnotationName": words.title,
            "EventTime": f"{event.at:%Y-%m-%dT%H:%M:%S}",
            "Category": "Deployment",
            "Properties": json.dumps(properties),
        }
        token = await self._own_token()
        await self._ask("PUT", f"{self.path}/Annotations?api-version=2015-05-01", token, json=body)

    async def _own_token(self) -> str:
        """Return the token of the file, else that of the identity that the service runs under."""
        if self.token is not None:
            return self.token
        return await asyncio.to_thread(_token_of_this_identity)


@dataclass(slots=True)
class GitHub(Marker):
    """A deployment for each rollout, and a status for each move.

    https://docs.github.com/rest/deployments/deployments and …/rest/deployments/statuses. The deployment is found again
    by its ``task``, which names the rollout, so that a message that is sent twice makes no second one.
    """

    path: str = ""  #: OWNER/NAME.
    ref: str = "main"

    async def check(self) -> None:
        """Raise UndeliveredError when the service does not let us in."""
        await self._ask("GET", f"/repos/{self.path}/deployments?per_page=1")

    async def leave(self, notice: Notice, words: Words, key: str) -> None:
        """Leave the mark of one move."""
        del key
        event, place = notice.event, f"/repos/{self.path}/deployments"
        task = f"foundry-rollouts:{event.rollout}"
        found = await self._ask("GET", f"{place}?task={quote(task, safe='')}&environment={quote(event.agent, safe='')}")
        deployment = found[0] if found else await self._deployed(place, task, event, words)
        await self._ask("POST", f"{place}/{int(deployment['id'])}/statuses", json=_status(event, words))

    async def _deployed(self, place: str, task: str, event: Event, words: Words) -> Any:
        body = {
            "ref": self.ref,
            "task": task,
            "environment": event.agent,
            "auto_merge": False,
            "required_contexts": [],
            "description": words.title[:DESCRIPTION],
            "payload": {"agent": event.agent, "rollout": event.rollout, "canary": event.canary},
        }
        return await self._ask("POST", place, json=body)


def _status(event: Event, words: Words) -> dict[str, Any]:
    state = _ENDS.get(event.kind.rpartition(".")[2], "in_progress")
    said = words.text.splitlines()[0][:DESCRIPTION]
    return {"state": state, "environment": event.agent, "description": said, "auto_inactive": False}


def _token_of_this_identity() -> str:
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential

    try:
        return str(DefaultAzureCredential().get_token(_MANAGEMENT).token)
    except AzureError as error:
        raise UndeliveredError(f"no identity gives a token for Azure ({type(error).__name__})") from None
