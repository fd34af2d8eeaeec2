"""The look before users against the local Foundry: real sandboxes, some of which are never ready or crash."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from builders import a_policy, a_rollout
from foundry_rollouts.core.deciding.readiness import Readiness, before_users
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.signals.ready import ReadyCheck
from patience import PATIENCE
from unit.signals.session_world import Hand

NUMBERS = itertools.count()
PROTOCOLS = {"responses": "2.0.0", "invocations": "2.0.0"}
#: By the clock of the test: a busy machine may take over a look as long as it will.
WITHIN = timedelta(minutes=1)


@pytest.fixture
async def cloud(base_url: str) -> AsyncIterator[FoundryClient]:
    async with FoundryClient(f"{base_url}/api/projects/ready-{next(NUMBERS)}", FixedToken()) as client:
        yield client


async def said(
    cloud: FoundryClient, canary: str, seconds: float, is_seen: Callable[[Readiness], Awaitable[bool]]
) -> str:
    """Return what a pending rollout of ``canary`` says so long after ``is_seen``; a start says nothing."""
    for image in ("emulator://echo", canary):
        await cloud.api.versions.create("support-agent", Definition(image=image, protocols=PROTOCOLS))
    clock, rollout = Hand(), a_rollout(policy=a_policy(ready_within=WITHIN))
    check = ReadyCheck(cloud, clock.now)
    try:
        async with asyncio.timeout(PATIENCE):
            while (seen := await check.check(rollout)) is None or not await is_seen(seen):  # noqa: ASYNC110 - no bell
                await asyncio.sleep(0.02)
        clock.on(seconds)
        move = before_users(rollout, await check.check(rollout), clock.now())
    finally:
        await check.close()
    assert [session.id async for session in cloud.sessions("support-agent")] == []
    return f"{move.move}: {move.because}" if move else "begins"


def waited_for(cloud: FoundryClient) -> Callable[[Readiness], Awaitable[bool]]:
    """Return whether stable's are ready while one of the canary is opened, or was in vain."""

    async def is_seen(seen: Readiness) -> bool:
        if seen.stable is None or seen.stable.ready_in is None:
            return False
        opened = {session.version async for session in cloud.sessions("support-agent")}
        return "2" in opened or seen.canary.trouble is not None

    return is_seen


async def test_a_canary_that_is_ready_begins_at_once_and_leaves_no_session(cloud: FoundryClient) -> None:
    async def is_ready(seen: Readiness) -> bool:
        return seen.canary.ready_in is not None and seen.stable is not None and seen.stable.ready_in is not None

    assert await said(cloud, "emulator://echo?latency_ms=1", 0, is_ready) == "begins"


async def test_a_canary_that_is_not_ready_yet_is_waited_for(cloud: FoundryClient) -> None:
    waits = await said(cloud, "emulator://echo?ready_after=600", 59, waited_for(cloud))
    assert waits == "hold: waiting for a sandbox of version 2 to be ready"


@pytest.mark.parametrize("image", ["emulator://echo?ready_after=600", "emulator://echo?crash=true"])
async def test_a_canary_that_is_never_ready_is_no_good(cloud: FoundryClient, image: str) -> None:
    verdict = "fail: no sandbox of version 2 was ready within 1m, stable's are ready in 1 s"
    assert (await said(cloud, image, 60, waited_for(cloud))).startswith(verdict)
