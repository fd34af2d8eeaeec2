"""The application: every operation of the table behind its checks, the control API, an envelope for the rest."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from foundry_emulator.config import EmulatorConfig
from foundry_emulator.control import control_router
from foundry_emulator.control_agents import control_agents_router
from foundry_emulator.errors import FoundryError, invalid, not_found
from foundry_emulator.guard import Guard
from foundry_emulator.ids import guid
from foundry_emulator.middleware import Answer, endpoint, refusal
from foundry_emulator.operations import OPERATIONS, Operation
from foundry_emulator.placement import version_on_resume
from foundry_emulator.provisioning import provision
from foundry_emulator.routes import (
    agents,
    code,
    conversations,
    files,
    invocations,
    responses,
    sessions,
    versions,
)
from foundry_emulator.routes.arm import add_arm_routes
from foundry_emulator.routes.directory import add_directory_routes
from foundry_emulator.routes.tokens import add_token_routes
from foundry_emulator.world import World


def _at_both(operation: str, answer: Answer) -> dict[str, Answer]:
    return {operation: answer, f"project_{operation}": answer}


ANSWERS: Mapping[str, Answer] = {
    "agents.list": agents.list_agents,
    "agents.get": agents.read_agent,
    "agents.create": agents.create_agent,
    "agents.update": agents.update_agent,
    "agents.patch": agents.patch_agent,
    "agents.enable": agents.enable_agent,
    "agents.disable": agents.disable_agent,
    "agents.delete": agents.delete_agent,
    "agents.download_code": code.download_code,
    "versions.list": versions.list_versions,
    "versions.get": versions.read_version,
    "versions.create": versions.create_version,
    "versions.delete": versions.delete_version,
    "sessions.create": sessions.create,
    "sessions.list": sessions.list_sessions,
    "sessions.get": sessions.read,
    "sessions.stop": sessions.stop,
    "sessions.delete": sessions.delete,
    "sessions.logstream": sessions.log_stream,
    "files.upload": files.upload,
    "files.download": files.download,
    "files.list": files.list_files,
    "files.delete": files.delete,
    "files.mkdir": files.make_folder,
    "files.stat": files.look,
    "responses.create": responses.create,
    "project_responses.create": responses.create_by_reference,
    **_at_both("responses.get", responses.read),
    **_at_both("responses.delete", responses.delete),
    **_at_both("responses.cancel", responses.cancel),
    **_at_both("responses.input_items", responses.input_items),
    **_at_both("conversations.create", conversations.create),
    **_at_both("conversations.get", conversations.read),
    **_at_both("conversations.update", conversations.update),
    **_at_both("conversations.delete", conversations.delete),
    "invocations.create": invocations.create,
    "invocations.get": invocations.read,
    "invocations.cancel": invocations.cancel,
    "invocations.describe": invocations.describe,
}


def create_app(config: EmulatorConfig) -> FastAPI:
    """Return a Foundry of its own: nothing is shared between two of them but what ``state_dir`` holds."""
    world = World(config)
    world.compute.version_on_resume = lambda session: version_on_resume(world, session)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        start(world)
        yield
        await world.stop()

    app = FastAPI(title="Local Foundry", lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, host=config.host)
    app.state.world = world
    app.state.ca_path = config.ca_path
    for operation in OPERATIONS:
        answer = endpoint(world, operation, ANSWERS[operation.name])
        for path in operation.paths:
            app.router.routes.append(_route(path, operation, answer))
    add_arm_routes(app, world)
    add_directory_routes(app, world)
    add_token_routes(app)
    app.include_router(control_router(lambda: world))
    app.include_router(control_agents_router(lambda: world))
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(RequestValidationError, _bad_control)
    app.add_exception_handler(FoundryError, _refused)
    app.add_exception_handler(Exception, _broken)
    return app


def _route(path: str, operation: Operation, answer: Callable[[Request], Awaitable[Response]]) -> Route:
    route = Route(path, answer, methods=[operation.method])
    if operation.may_stream and route.methods:
        # A stream without its body would hold the connection until it ends.
        route.methods.discard("HEAD")
    return route


def start(world: World) -> None:
    """Begin to work, and go on with the versions an earlier run left in ``creating``."""
    world.start()
    for version in world.state.every_version():
        if version.status == "creating" and not version.is_built:
            world.spawn(provision(world, version))


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 400:
        return refusal(invalid(f"The request body cannot be read: {getattr(error, 'detail', error)}"), guid())
    if status == 405:
        message = f"Method {request.method} is not allowed on {request.url.path}"
        return refusal(FoundryError(405, "method_not_allowed", message, headers={"Allow": _allowed(request)}), guid())
    return refusal(not_found(f"No such resource: {request.method} {request.url.path}"), guid())


def _allowed(request: Request) -> str:
    routes = (each for each in request.app.routes if isinstance(each, Route) and each.methods)
    methods = [each.methods for each in routes if each.path_regex.match(request.url.path)]
    return ", ".join(sorted({name for each in methods for name in each or ()}))


async def _bad_control(_: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
    param = ".".join(str(part) for part in first["loc"])
    return refusal(invalid(f"Invalid value for '{param}': {first['msg']}.", param), guid())


async def _broken(_: Request, error: Exception) -> Response:
    return refusal(FoundryError(500, "server_error", f"The emulator failed: {type(error).__name__}."), guid())


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, FoundryError)  # noqa: S101 - the handler is registered for nothing else
    return refusal(error, guid())
