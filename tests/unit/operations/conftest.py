"""The store that operations are tried on: the real one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes import a_store
from foundry_rollouts.store.store import SqlStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with a_store(tmp_path) as opened:
        yield opened
