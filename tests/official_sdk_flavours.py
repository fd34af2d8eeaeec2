"""The official SDK's two flavours behind one awaitable face that remembers what each call came to."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import openai
from azure.ai.projects import AIProjectClient
from azure.ai.projects.aio import AIProjectClient as AsyncProjectClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

PROJECTS = itertools.count()


@dataclass(frozen=True, slots=True)
class Bearer:
    """A credential of the sync flavour; an empty token is nobody's."""

    token: str

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        assert scopes == ("https://ai.azure.com/.default",)
        return AccessToken(self.token, int(time.time()) + 3600)  # noqa: TID251


@dataclass(frozen=True, slots=True)
class AsyncBearer:
    """The same for the async flavour."""

    token: str

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return Bearer(self.token).get_token(*scopes)

    async def close(self) -> None:
        """Hold nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.close()


class OwnPolicy(SansIOHTTPPolicy[Any, Any]):
    """Sets the header that the SDK's own policy refuses to send without TLS."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = self._header


@dataclass(frozen=True, slots=True)
class Combination:
    """A flavour of the SDK and what carries it; ``authority`` is the emulator's own, None over plain HTTP."""

    is_async: bool
    base_url: str
    authority: Path | None
    is_preview: bool = False  #: Whether it is asked for what was in preview when the SDK was made.

    def client(self, token: str, project: str) -> Any:
        """Return a client as a program would make it: for TLS with nothing but the authority, else with a policy."""
        address = f"{self.base_url}/api/projects/{project}"
        options: dict[str, Any] = {} if self.authority else {"authentication_policy": OwnPolicy(token)}
        options |= {"allow_preview": True} if self.is_preview else {}
        if not self.is_async:
            return AIProjectClient(address, Bearer(token), **options)
        if self.authority:
            # The async transport reads the environment's authorities when it is imported, which was before this test.
            options["connection_verify"] = str(self.authority)
        return AsyncProjectClient(address, AsyncBearer(token), **options)


@dataclass(slots=True)
class Face:
    """One client of the SDK; a method may be named with a form, as in ``agents.create_version(draft)``."""

    client: Any
    is_async: bool
    whose: str = ""
    outcomes: set[str] = field(default_factory=set)

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return await self._told(method, args, options, _itself, _itself_async)

    async def items(self, method: str, *args: Any, **options: Any) -> list[Any]:
        """Call a method whose result is iterated, to its end."""
        found: list[Any] = await self._told(method, args, options, list, _listed)
        return found

    async def refused(self, method: str, *args: Any, **options: Any) -> Any:
        """Call what the cloud refuses and return the error."""
        try:
            await self.items(method, *args, **options)
        except (HttpResponseError, openai.APIStatusError) as error:
            return error
        raise AssertionError(f"{method} was not refused")

    @asynccontextmanager
    async def openai(self, agent: str | None = None) -> AsyncIterator["Face"]:
        """Give the OpenAI client of an agent, or of the project."""
        client = self.client.get_openai_client(**({"agent_name": agent} if agent else {}), max_retries=0)
        try:
            yield Face(client, self.is_async, "agent's " if agent else "project's ", self.outcomes)
        finally:
            await self._run(client.close, _itself, _itself_async)

    async def _told(
        self, method: str, args: Any, options: Any, take: Callable[[Any], Any], take_async: Callable[[Any], Any]
    ) -> Any:
        function = attrgetter(method.partition("(")[0])(self.client)
        try:
            result = await self._run(lambda: function(*args, **options), take, take_async)
        except (HttpResponseError, openai.APIStatusError) as error:
            self.outcomes.add(f"{self.whose}{method}: {type(error).__name__} {error.status_code} {_code(error)}")
            raise
        self.outcomes.add(f"{self.whose}{method}")
        return result

    async def _run(
        self, function: Callable[[], Any], take: Callable[[Any], Any], take_async: Callable[[Any], Any]
    ) -> Any:
        if not self.is_async:
            return await asyncio.to_thread(lambda: take(function()))
        result = function()
        return await take_async(await result if asyncio.iscoroutine(result) else result)


@dataclass(frozen=True, slots=True)
class Visitors:
    """The clients of one project that nobody else has: one with a token, one with an empty one."""

    sdk: Face
    nobody: Face


@asynccontextmanager
async def visitors(combination: Combination) -> AsyncIterator[Visitors]:
    project, outcomes = f"flavours-{next(PROJECTS)}", set[str]()
    async with AsyncExitStack() as stack:
        faces = []
        for token in ("local", ""):
            client = combination.client(token, project)
            if combination.is_async:
                await stack.enter_async_context(client)
            else:
                stack.enter_context(client)
            faces.append(Face(client, combination.is_async, outcomes=outcomes))
        yield Visitors(*faces)


def _itself(result: Any) -> Any:
    return result


async def _itself_async(result: Any) -> Any:
    return result


async def _listed(result: Any) -> list[Any]:
    return [each async for each in result]


def _code(error: HttpResponseError | openai.APIStatusError) -> str:
    response: Any = error.response
    body = json.loads(response.text() if isinstance(error, HttpResponseError) else response.text)
    return str(body["error"]["code"])
