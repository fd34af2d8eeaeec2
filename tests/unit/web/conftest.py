"""The app over the real store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from builders import NOON
from fakes import FakeHealth, FakePolicies, FakeWake, a_store
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.services import Services
from unit.web.served import Web, client_of


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with a_store(tmp_path) as store:
        yield Services(
            store=store,
            policies=FakePolicies(),
            health=FakeHealth(),
            metrics=Metrics("1.2.3"),
            wake=FakeWake(),
            now=lambda: NOON,
            stop=asyncio.Event(),
            look_every=timedelta(milliseconds=10),
        )


@pytest.fixture
async def web(services: Services) -> AsyncIterator[Web]:
    store, wake = services.store, services.wake
    assert isinstance(store, SqlStore)
    assert isinstance(wake, FakeWake)
    async with client_of(services) as client:
        yield Web(client, services, store, wake)
