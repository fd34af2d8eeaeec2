"""A small client of the ops API; it knows addresses and statuses, not what a rollout is."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import uuid4

import httpx
from httpx_sse import SSEError, aconnect_sse

from foundry_rollouts.cli.bearer import bearer
from foundry_rollouts.core.model.agent_names import SEPARATOR
from foundry_rollouts.errors import ConflictError, NotFoundError, RolloutsError, UnavailableError, UsageError

Json = Mapping[str, Any]

PAGE = 200
ANSWER_SECONDS = 30.0
#: What to do about an answer that says who may not do what.
DENIALS = {
    401: "set FOUNDRY_ROLLOUTS_TOKEN to a token of that service, 'foundry-rollouts token create' makes one",
    403: "ask for a token with the role it needs, or have somebody with that role do it",
}
DONE_SECONDS = 5  #: How long the answer to a command waits for the command to be done.
QUIET_SECONDS = 30.0  #: A stream that is alive says so every few seconds.


class DeniedError(RolloutsError):
    """The service does not know who asks, or that person may not do this; asking again changes nothing."""


class OpsApi:
    """The ops API of one service.

    Raises UnavailableError when it is away, ConflictError, NotFoundError and UsageError when it refuses, with
    the sentence it gives.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def at(cls, server: str) -> AsyncIterator[Self]:
        """Open the API of the service at ``server``."""
        url = _url(server)
        # A proxy between us and ourselves would be somebody's mistake.
        is_here = url.host in {"localhost", "127.0.0.1", "::1"}
        headers = bearer(server)
        async with httpx.AsyncClient(
            base_url=url, headers=headers, timeout=ANSWER_SECONDS, trust_env=not is_here
        ) as client:
            yield cls(client)

    async def rollout(self, rollout: str) -> Json:
        return await self._json("GET", f"/rollouts/{_part(rollout)}")

    async def rollouts(self, agent: str | None, phase: str | None, most: int) -> list[Json]:
        """Return at most ``most`` rollouts, newest first."""
        found: list[Json] = []
        before = None
        while len(found) < most:
            wanted = {"agent": agent, "phase": phase, "limit": min(most - len(found), PAGE), "before": before}
            page = await self._json("GET", "/rollouts", params={k: v for k, v in wanted.items() if v is not None})
            found += page["items"]
            before = page["next"]
            if not before:
                break
        return found

    async def me(self) -> Json | None:
        """Return who we are to the service; None: it is too old to say."""
        try:
            return await self._json("GET", "/me")
        except NotFoundError:
            return None

    async def in_hand(self, agent: str) -> Json | None:
        """Return ``agent`` with its current rollout; None when nobody knows it."""
        try:
            return await self._json("GET", f"/agents/{_part(agent, safe=SEPARATOR)}")
        except NotFoundError:
            return None

    async def agents(self) -> list[Json]:
        """Return every agent that the service knows."""
        found: list[Json] = []
        more: dict[str, str] = {"limit": str(PAGE)}
        while True:
            page = await self._json("GET", "/agents", params=more)
            found += page["items"]
            if not page.get("next"):
                return found
            more |= {"after": str(page["next"])}

    async def trial(self, agent: str, version: str) -> Json | None:
        """Return the newest rollout of ``version``; None while there is none."""
        wanted = {"agent": agent, "version": version, "limit": 1}
        items = (await self._json("GET", "/rollouts", params=wanted))["items"]
        return items[0] if items else None

    async def newest(self, agent: str) -> Json:
        """Return the newest rollout of ``agent``. Raises NotFoundError when it has none."""
        found = await self.rollouts(agent, None, 1)
        if not found:
            raise NotFoundError(f"agent {agent} has no rollout: start one, or check the name")
        return found[0]

    async def named(self, rollout: str | None, agent: str | None) -> Json:
        """Return the rollout of that id, or the current one of that agent, else its newest.

        Raises UsageError unless one is named.
        """
        if (rollout is None) == (agent is None):
            raise UsageError("name one rollout: give its id, or --agent NAME for the current one of an agent")
        if rollout:
            return await self.rollout(rollout)
        known = await self.in_hand(agent or "")
        if known and known["rollout"]:
            return await self.rollout(known["rollout"]["id"])
        return await self.newest(agent or "")

    async def start(self, wanted: Json, key: str | None = None) -> Json:
        """Start or join a rollout; the same ``key`` again returns what it made."""
        return await self._json("POST", "/rollouts", json=_present(wanted), headers=_once(key))

    async def command(self, rollout: str, verb: str, wanted: Json) -> Json:
        """Ask for ``verb``; ``wanted`` holds the generation and perhaps reason and author."""
        path = f"/rollouts/{_part(rollout)}:{verb}"
        headers = _once() | {"Prefer": f"wait={DONE_SECONDS}"}
        return await self._json("POST", path, json=_present(wanted), headers=headers)

    async def history(self, rollout: str) -> list[Json]:
        return list((await self._json("GET", f"/rollouts/{_part(rollout)}/events"))["items"])

    async def explanation(self, rollout: str) -> Json:
        return await self._json("GET", f"/rollouts/{_part(rollout)}/explain")

    async def live(self, rollout: str, after: str | None) -> AsyncIterator[Json]:
        """Yield the events behind ``after`` as they come, until the service ends the stream."""
        headers = {"Last-Event-ID": after} if after else {}
        path = f"/api/v1/rollouts/{_part(rollout)}/events"
        timeout = httpx.Timeout(ANSWER_SECONDS, read=QUIET_SECONDS)
        try:
            async with aconnect_sse(self._client, "GET", path, headers=headers, timeout=timeout) as stream:
                if stream.response.status_code != 200:
                    await stream.response.aread()
                    _refuse(stream.response)
                    return
                async for frame in stream.aiter_sse():
                    if frame.data:
                        yield json.loads(frame.data)
        except (httpx.TransportError, SSEError, ValueError) as error:
            raise self._away(error) from None

    async def policies(self) -> Json:
        """Return the policies in force, and the problems of files that are not."""
        return await self._json("GET", "/policies")

    async def policy(self, name: str) -> Json:
        """Return one policy in force as a file would say it."""
        return await self._json("GET", f"/policies/{_part(name)}")

    async def create_token(self, wanted: Json) -> Json:
        return await self._json("POST", "/tokens", json=dict(wanted))

    async def tokens(self) -> list[Json]:
        """Return every token that was ever made, newest first."""
        return list((await self._json("GET", "/tokens"))["items"])

    async def revoke_token(self, token: str) -> Json:
        return await self._json("POST", f"/tokens/{_part(token)}:revoke", json={})

    async def targets(self) -> list[Json]:
        """Return every target of notifications."""
        return list((await self._json("GET", "/targets"))["items"])

    async def test_target(self, target: str) -> Json:
        return await self._json("POST", f"/targets/{_part(target)}:test", json={})

    async def line(self, verb: str | None = None, wanted: Json | None = None) -> Json:
        """Return who stopped the line, after ``verb`` was asked of it if any."""
        if verb is None:
            return await self._json("GET", "/line")
        return await self._json("POST", f"/line:{verb}", json=_present(wanted or {}))

    async def holds(self) -> Json:
        """Return which agents are held."""
        try:
            return await self._json("GET", "/holds")
        except NotFoundError:
            return {"items": (), "ended": ()}  # A service of an earlier release holds nothing.

    async def hold(self, agent: str, verb: str, wanted: Json) -> Json:
        """Hold an agent, or let it go."""
        return await self._json("POST", f"/agents/{_part(agent, safe=SEPARATOR)}:{verb}", json=_present(wanted))

    async def _json(self, method: str, path: str, **more: Any) -> Json:
        try:
            response = await self._client.request(method, f"/api/v1{path}", **more)
        except httpx.RequestError as error:
            raise self._away(error) from None
        _refuse(response)
        try:
            answer: Json = dict(response.json())
        except (ValueError, TypeError, RecursionError):
            what = f"HTTP {response.status_code} without JSON"
            raise UnavailableError(f"{self._client.base_url} answered {what}: is --server right?") from None
        return answer

    def _away(self, error: Exception) -> UnavailableError:
        server = str(self._client.base_url).rstrip("/")
        why = str(error) or type(error).__name__
        return UnavailableError(
            f"{server} does not answer ({why}): start it with 'foundry-rollouts serve', or name another with --server"
        )


def _url(server: str) -> httpx.URL:
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL as error:
        raise UsageError(f"--server {server!r} is not an address ({error}): write http://HOST:PORT") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise UsageError(f"--server {server!r} is not an address: write http://HOST:PORT")
    return url


def _part(text: str, safe: str = "") -> str:
    """Return ``text`` as one part of a path; ``safe`` stays as it is."""
    from urllib.parse import quote

    return quote(text, safe=safe)


def _present(wanted: Json) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value is not None}


def _once(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or str(uuid4())}


def _refuse(response: httpx.Response) -> None:
    if response.is_success:
        return
    status = response.status_code
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        if status in DENIALS:
            detail = f"{response.url.host} answered HTTP {status}"
        else:
            raise UnavailableError(f"{response.url} answered HTTP {status}: is --server right?") from None
    if status in DENIALS:
        if status == 401:
            is_known = "authorization" in response.request.headers
            detail = f"the service does not know who asks ({detail})" if is_known else "the service wants a token"
        raise DeniedError(f"{detail.rstrip('.')}: {DENIALS[status]}")
    kinds: dict[int, type[RolloutsError]] = {404: NotFoundError, 409: ConflictError, 400: UsageError, 422: UsageError}
    raise kinds.get(status, UnavailableError)(detail)
