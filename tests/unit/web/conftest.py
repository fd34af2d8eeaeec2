"""The app over the real store."""

from collections.abc import AsyncIterator

import pytest

from fakes import FakeWake
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.services import Services
from unit.web.served import Web, client_of


@pytest.fixture
async def web(store: SqlStore, services: Services) -> AsyncIterator[Web]:
    assert isinstance(services.wake, FakeWake)
    async with client_of(services) as client:
        yield Web(client, services, store, services.wake)
