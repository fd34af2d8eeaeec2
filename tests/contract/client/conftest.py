"""The client against the local Foundry: two separate readings of the same contract."""

import itertools
from collections.abc import AsyncIterator

import httpx
import pytest

from contract.client.local import RETRIES
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient

NUMBERS = itertools.count()


@pytest.fixture
async def control(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{base_url}/_emulator") as client:
        yield client
        await client.delete("/faults")
        await client.put("/lifecycle", json={"kind": "immediate"})
        await client.put("/clock", json={"speed": 1})
        await client.patch("/switches", json={"drafts_enabled": True, "version_override": "obeys"})


@pytest.fixture
async def cloud(base_url: str) -> AsyncIterator[FoundryClient]:
    """A project nobody else has."""
    endpoint = f"{base_url}/api/projects/client-{next(NUMBERS)}"
    async with FoundryClient(endpoint, FixedToken(), retries=RETRIES) as client:
        yield client
