"""What runs before every operation: identity, api-version, known query parameters, planted faults, answer headers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from foundry_emulator.admission import AI_AUDIENCES, problem_of
from foundry_emulator.errors import RESPONSE_DETAILS, FoundryError, invalid, not_found
from foundry_emulator.faults import Fault
from foundry_emulator.ids import guid
from foundry_emulator.operations import Operation
from foundry_emulator.records import AgentKey, SessionKey
from foundry_emulator.replays import KeptRequest, drained
from foundry_emulator.world import World

_PREVIEW = "2025-11-15-preview"
API_VERSIONS = ("v1", _PREVIEW)
_VERSION = "api-version"


@dataclass(frozen=True, slots=True)
class Visit:
    """One call that passed the checks."""

    world: World
    request: Request

    @property
    def project(self) -> str:
        """The project in the path."""
        return str(self.request.path_params["project"])

    @property
    def agent(self) -> AgentKey:
        """The agent in the path."""
        return AgentKey(self.project, self.request.path_params["name"])

    @property
    def session(self) -> SessionKey:
        """The session in the path."""
        return SessionKey(self.agent, self.request.path_params["session"])

    def named(self, name: str) -> str:
        """Return another part of the path."""
        return str(self.request.path_params[name])

    @property
    def query(self) -> dict[str, str]:
        """The query parameters."""
        return dict(self.request.query_params)


Answer = Callable[[Visit], Awaitable[Response]]


class DroppedResponse(Response):
    """No answer: the connection is cut, as by a proxy that dies."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the message that the connection cutter understands."""
        await send({"type": "emulator.cut"})


def endpoint(world: World, operation: Operation, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Return the web endpoint of one operation: the checks, then ``answer``."""

    async def serve(request: Request) -> Response:
        request_id = guid()
        try:
            response = await _pass(Visit(world, request), operation, answer)
        except FoundryError as error:
            response = refusal(error, request_id)
        except ClientDisconnect:
            response = DroppedResponse()
        return _named(response, request_id)

    return serve


def refusal(error: FoundryError, request_id: str) -> Response:
    """Return the error envelope as an answer."""
    return _named(JSONResponse(error.envelope(request_id), error.status, dict(error.headers)), request_id)


def _named(response: Response, request_id: str) -> Response:
    """Return the answer with the headers by which support finds a request: no answer goes without them."""
    response.headers.setdefault("x-request-id", request_id)
    response.headers.setdefault("apim-request-id", guid())
    response.headers.setdefault("x-ms-region", "local")
    return response


async def _pass(visit: Visit, operation: Operation, answer: Answer) -> Response:
    _require_token(visit.request)
    _refuse_path(visit.request)
    _refuse_query(visit.request, operation)
    if operation.is_call and not visit.world.switches.preview_invoke and visit.query.get(_VERSION) == _PREVIEW:
        raise FoundryError(404, "404", "Resource not found")
    agent = visit.request.path_params.get("name")
    fault = visit.world.faults.strike(operation.name, agent)
    if fault is None:
        return await answer(visit)
    return await _strike(visit, fault, answer)


async def _strike(visit: Visit, fault: Fault, answer: Answer) -> Response:
    if fault.apply_after is not None:
        # The body must be read now: after the answer there is nobody left to read it from.
        kept = KeptRequest(visit.request, visit.world.config.folder)
        await kept.keep()
        await asyncio.sleep(fault.latency_ms / 1000)
        visit.world.spawn(_applied(Visit(visit.world, kept.request), fault.apply_after, answer, kept))
        return _failed(fault)
    await asyncio.sleep(fault.latency_ms / 1000)
    is_slow_only = fault.status is None and not fault.is_dropped
    if is_slow_only or fault.is_applied:
        response = await answer(visit)
        return response if is_slow_only else _failed(fault)
    await drained(visit.request)
    return _failed(fault)


def _failed(fault: Fault) -> Response:
    if fault.is_dropped:
        return DroppedResponse()
    raise _planted(fault)


async def _applied(visit: Visit, seconds: float, answer: Answer, kept: KeptRequest) -> None:
    try:
        await visit.world.clock.sleep(seconds)
        await answer(visit)
    except FoundryError:
        # The caller got a failure long ago; that the change then fails too makes no difference.
        return
    finally:
        kept.close()


def _planted(fault: Fault) -> FoundryError:
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    if fault.retry_after_ms is not None:
        headers["retry-after-ms"] = f"{fault.retry_after_ms:g}"
    if fault.details is not None:
        headers[RESPONSE_DETAILS] = fault.details
    return FoundryError(fault.status or 503, fault.code, fault.message, headers=headers)


def _require_token(request: Request) -> None:
    problem = problem_of(request.headers.get("authorization", ""), AI_AUDIENCES)
    if problem:
        challenge = {"WWW-Authenticate": 'Bearer authorization_uri="https://login.microsoftonline.com/common"'}
        message = f"Access denied: {problem}. Acquire a token with the scope https://ai.azure.com/.default."
        raise FoundryError(401, "unauthorized", message, headers=challenge)


def _refuse_path(request: Request) -> None:
    # The path arrives decoded: without this, agents/a%2Fversions%2F1 would be a version. No process can be given a NUL.
    if b"%2f" in request.scope.get("raw_path", b"").lower() or "\0" in request.path_params["project"]:
        raise not_found(f"No such resource: {request.method} {request.url.path}")


def _refuse_query(request: Request, operation: Operation) -> None:
    given = request.query_params
    known = operation.query | {_VERSION} if operation.is_versioned else operation.query
    for name in given:
        if name not in known:
            raise invalid(f"Unknown query parameter '{name}'.", name)
        if len(given.getlist(name)) > 1:
            raise invalid(f"Query parameter '{name}' is given twice.", name)
    if not operation.is_versioned:
        return
    version = given.get(_VERSION)
    if not version:
        raise invalid(f"Missing required query parameter: {_VERSION}", _VERSION, "MissingApiVersion")
    if version not in API_VERSIONS:
        raise invalid(f"Unsupported api-version '{version}'.", _VERSION, "UnsupportedApiVersion")
