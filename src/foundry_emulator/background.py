"""An emulator in a thread of its own, for tests and measurements that need a server beside them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from foundry_emulator.config import EmulatorConfig
from foundry_emulator.errors import EmulatorError
from foundry_emulator.serve import serve


@contextmanager
def running(config: EmulatorConfig) -> Iterator[str]:
    """Serve for as long as the block lasts and give it the base URL; raise what kept the emulator from starting."""
    host = _Host(config)
    host.start()
    try:
        yield host.base_url()
    finally:
        host.stop()


class _Host:
    def __init__(self, config: EmulatorConfig) -> None:
        self._config = config
        self._is_settled = threading.Event()
        self._base_url: str | None = None
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="emulator", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def base_url(self) -> str:
        self._is_settled.wait()
        if self._failure is not None:
            raise self._failure
        if self._base_url is None:
            raise EmulatorError("the emulator ended before it was ready")
        return self._base_url

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the emulator was asked for
            self._failure = error
        finally:
            self._is_settled.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(self._config, on_ready=self._ready, stop=self._stop)

    def _ready(self, base_url: str) -> None:
        self._base_url = base_url
        self._is_settled.set()
