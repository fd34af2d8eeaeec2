"""A local Foundry and the whole service in processes of their own, for tests that are not asynchronous."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser.background import Background
from town import POLICY, Town


@dataclass(frozen=True)
class Real:
    """What scenarios are written in (``town``), driven from tests that are not asynchronous."""

    town: Town
    background: Background

    @property
    def url(self) -> str:
        return self.town.stage.server

    def do(self, work: Any) -> Any:
        """Do something asynchronous, as ``real.do(real.town.image(...))``."""
        return self.background.run(work)


@asynccontextmanager
async def a_stage(background: Background, folder: Path, policy: str = POLICY) -> AsyncIterator[Real]:
    """Start a Foundry with one stable version and the service that watches over it."""
    town = Town(folder)
    try:
        await town.stage.start_emulator()
        await town.image("emulator://echo")
        await town.control(policy)
        await town.until_pinned("1")
        yield Real(town, background)
    finally:
        await town.close()
