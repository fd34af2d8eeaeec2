"""The look before users against the local Foundry: real sandboxes, some of which are never ready or crash."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from builders import a_policy, a_rollout
from foundry_rollouts import clock
from foundry_rollouts.core.deciding.readiness import before_users
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.signals.ready import ReadyCheck

NUMBERS = itertools.count()
PROTOCOLS = {"responses": "2.0.0", "invocations": "2.0.0"}
WITHIN = timedelta(seconds=2)


@pytest.fixture
async def cloud(base_url: str) -> AsyncIterator[FoundryClient]:
    async with FoundryClient(f"{base_url}/api/projects/ready-{next(NUMBERS)}", FixedToken()) as client:
        yield client


async def said(cloud: FoundryClient, canary: str, seconds: float) -> str:
    """Return what a pending rollout of ``canary`` says after so long a look; a start says nothing."""
    for image in ("emulator://echo", canary):
        await cloud.api.versions.create("support-agent", Definition(image=image, protocols=PROTOCOLS))
    rollout, check = a_rollout(policy=a_policy(ready_within=WITHIN)), ReadyCheck(cloud, clock.now)
    try:
        await check.look(rollout)
        await asyncio.sleep(seconds)
        move = before_users(rollout, await check.look(rollout), clock.now())
    finally:
        await check.close()
    assert [session.id async for session in cloud.sessions("support-agent")] == []
    return f"{type(move).__name__}: {move.because}" if move else "begins"


async def test_a_canary_that_is_ready_begins_at_once_and_leaves_no_session(cloud: FoundryClient) -> None:
    assert await said(cloud, "emulator://echo?latency_ms=1", 0) == "begins"


async def test_a_canary_that_is_not_ready_yet_is_waited_for(cloud: FoundryClient) -> None:
    waits = await said(cloud, "emulator://echo?ready_after=1.5", 0)
    assert waits == "Hold: waiting for a sandbox of version 2 to be ready"


@pytest.mark.parametrize("image", ["emulator://echo?ready_after=600", "emulator://echo?crash=true"])
async def test_a_canary_that_is_never_ready_is_no_good(cloud: FoundryClient, image: str) -> None:
    verdict = "Fail: no sandbox of version 2 was ready within 2s, stable's are ready in 1 s"
    assert (await said(cloud, image, 2.2)).startswith(verdict)
