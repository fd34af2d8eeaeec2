"""Serves an emulator on its address until it is stopped, and leaves nothing running behind."""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundry_emulator.app import create_app
from foundry_emulator.config import EmulatorConfig
from foundry_emulator.errors import EmulatorError
from foundry_emulator.upgrades import WithoutUpgrade
from foundry_emulator.world import World

_POLL_SECONDS = 0.01
_GRACE_SECONDS = 2
# Clients on a busy machine reuse a connection seconds later; closing it first would look like a broken cloud.
_KEEP_ALIVE_SECONDS = 75
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(config: EmulatorConfig, *, on_ready: Callable[[str], None], stop: asyncio.Event | None = None) -> None:
    """Serve until SIGINT, SIGTERM or ``stop``; ``on_ready`` gets the base URL. Raise ``EmulatorError`` if it cannot."""
    stop = stop or asyncio.Event()
    listener = _listener(config)
    with contextlib.closing(listener), _stopped_by_signals(stop):
        base_url = f"{'https' if config.tls else 'http'}://{_host(config)}:{listener.getsockname()[1]}"
        app = create_app(config)
        world: World = app.state.world
        world.factory.base_url = base_url
        server = ClosingServer(_server_config(config, cutting(app)))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await _started(server, serving)
            on_ready(base_url)
            await _either(stop, serving)
        finally:
            # Open log streams and calls end with the sandboxes; the server would wait for them otherwise.
            await world.compute.forget_all()
            server.should_exit = True
            await serving


class ClosingServer(uvicorn.Server):
    """A server that leaves no connection open behind it."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as usual, but never between accepting a connection and serving it: it would stay open for good."""
        for door in sockets or []:
            asyncio.get_running_loop().remove_reader(door)
        for _ in range(3):  # turns of the loop until everybody who was let in is a connection
            await asyncio.sleep(0)
        await super().shutdown(sockets)
        for connection in self.server_state.connections:
            connection.transport.abort()
        await asyncio.sleep(0)  # until the loop has let go of them


def cutting(app: ASGIApp) -> ASGIApp:
    """Return an application whose message ``emulator.cut`` cuts the connection without an answer."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_cut(message: Message) -> None:
            if message["type"] != "emulator.cut":
                await send(message)
                return
            send.__self__.transport.abort()  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)

        await app(scope, receive, send_or_cut)

    return run


def _server_config(config: EmulatorConfig, app: ASGIApp) -> uvicorn.Config:
    settings = uvicorn.Config(
        app,
        http=WithoutUpgrade,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    if config.tls:
        settings.load()
        settings.ssl = _tls_context(config)
    return settings


def _tls_context(config: EmulatorConfig) -> ssl.SSLContext:
    from foundry_emulator.authority import server_context

    return server_context(config)


def _listener(config: EmulatorConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio switches off Nagle's delay only where the protocol is named: 44 ms an answer otherwise.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise EmulatorError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another address with --listen"
        ) from error
    listener.setblocking(False)
    return listener


def _host(config: EmulatorConfig) -> str:
    return f"[{config.host}]" if ":" in config.host else config.host


@contextlib.contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    installed = []
    for number in _SIGNALS:
        # Only the main thread may listen to signals; elsewhere the event is the way to stop.
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, stop.set)
            installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            await serving
            raise EmulatorError("the emulator could not start")
        await asyncio.sleep(_POLL_SECONDS)


async def _either(stop: asyncio.Event, serving: asyncio.Task[None]) -> None:
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
