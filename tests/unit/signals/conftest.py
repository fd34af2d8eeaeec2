"""The sources of signals over small worlds."""

from collections.abc import AsyncIterator

import pytest

from unit.signals.following import Following
from unit.signals.probing import Probing


@pytest.fixture
async def following() -> AsyncIterator[Following]:
    following = Following()
    yield following
    await following.source.close()


@pytest.fixture
async def probing() -> AsyncIterator[Probing]:
    probing = Probing()
    yield probing
    await probing.source.close()
