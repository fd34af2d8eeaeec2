"""The app as tests meet it: driven without a network, or served on a free port of the loopback address."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from fakes import FakeWake
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.server import EmbeddedServer, config_for
from foundry_rollouts.web.services import Services


@dataclass(frozen=True)
class Web:
    """A client of the app, and what the app leans on."""

    client: httpx.AsyncClient
    services: Services
    store: SqlStore
    wake: FakeWake


#: The apps of this test process, by what they are built with: to build one takes longer than most requests.
_APPS: dict[tuple[object, ...], FastAPI] = {}


def app_over(services: Services) -> ASGIApp:
    """Return the app over ``services``: the same for all tests, each request with the services of its own test."""
    built_with = (services.hosts, services.proxies, services.base_path)
    if built_with not in _APPS:
        _APPS[built_with] = create_app(services)
    app = _APPS[built_with]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        app.state.services = services
        await app(scope, receive, send)

    return answer


def client_of(services: Services) -> httpx.AsyncClient:
    """Return a client of the app over ``services``; an error nobody foresaw is seen as its caller sees it."""
    transport = httpx.ASGITransport(app_over(services), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")


@asynccontextmanager
async def serving(services: Services, port: int = 0) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """Serve the app on a port of the loopback address until the end of the block; yield where, and the server."""
    server = EmbeddedServer(config_for(app_over(services)))
    with socket.create_server(("127.0.0.1", port)) as listening:
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", server
        finally:
            services.stop.set()
            server.should_exit = True
            await task


@asynccontextmanager
async def served(services: Services) -> AsyncIterator[tuple[httpx.AsyncClient, uvicorn.Server]]:
    """Serve the app until the end of the block, or until the server is told to exit; yield a client of it."""
    async with serving(services) as (url, server), httpx.AsyncClient(base_url=url) as client:
        yield client, server
