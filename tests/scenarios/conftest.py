"""Stories with real processes: a local Foundry, the controller and its database, each in a process of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from town import Town


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """A running local Foundry; the story starts the controller when it wants it."""
    town = Town(tmp_path)
    await town.stage.start_emulator()
    yield town
    await town.close()
