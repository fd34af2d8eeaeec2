"""The real store, and what the app leans on, for the tests of operations, of the web and of the command line."""

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


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def services(store: SqlStore) -> Services:
    """Return what the app leans on: the real store, and fakes that answer at once."""
    return Services(
        store=store,
        policies=FakePolicies(),
        health=FakeHealth(),
        metrics=Metrics("1.2.3"),
        wake=FakeWake(),
        now=lambda: NOON,
        stop=asyncio.Event(),
        check_every=timedelta(milliseconds=10),
        answer_within=timedelta(milliseconds=100),
    )
