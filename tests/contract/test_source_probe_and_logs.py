"""Probe and logs against the local Foundry: real sessions, real answers, real log streams."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from builders import a_policy, a_rollout
from foundry_rollouts import clock
from foundry_rollouts.core.model.measurement import Counts, Window
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.core.model.sources import LogsConfig, ProbeConfig, Sources
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.ports import Source
from foundry_rollouts.signals.logs import LogSource
from foundry_rollouts.signals.own_sessions import OwnSessions
from foundry_rollouts.signals.probe import ProbeSource
from patience import PATIENCE

NUMBERS = itertools.count()
PROTOCOLS = {"responses": "2.0.0", "invocations": "2.0.0"}


@pytest.fixture
async def cloud(base_url: str) -> AsyncIterator[FoundryClient]:
    async with FoundryClient(f"{base_url}/api/projects/sources-{next(NUMBERS)}", FixedToken()) as client:
        yield client


async def a_trial(cloud: FoundryClient, canary: str) -> Rollout:
    """Create a well-behaved version 1 and the ``canary``; return a rollout whose pairs follow closely."""
    for image in ("emulator://echo", canary):
        await cloud.api.versions.create("support-agent", Definition(image=image, protocols=PROTOCOLS))
    sources = Sources(probe=ProbeConfig(every=timedelta(milliseconds=20)), logs=LogsConfig())
    policy = a_policy(sources=sources, gates=(Gate(GateKind.ERROR_RATE, sources.names),))
    begun = clock.now()
    return a_rollout(phase=Phase.PROGRESSING, step=1, started_at=begun, step_started_at=begun, policy=policy)


async def counts(source: Source, rollout: Rollout, stratum: str, at_least: int) -> tuple[Counts, Counts]:
    """Wait until so many calls were seen on both versions; return the counts of stable and canary."""
    begun = rollout.started_at or clock.now()
    async with asyncio.timeout(PATIENCE):
        while True:
            window = Window(begun, clock.now() + timedelta(seconds=1))
            seen = {each.source: each for each in await source.measure(rollout, window)}[stratum]
            if min(seen.stable.calls, seen.canary.calls) >= at_least:
                return seen.stable, seen.canary
            await asyncio.sleep(0.05)


async def test_the_probe_tells_a_broken_version_from_a_good_one(cloud: FoundryClient) -> None:
    rollout = await a_trial(cloud, "emulator://echo?error_rate=1")
    woken: list[str] = []
    source = ProbeSource(cloud, clock.now, woken.append)
    stable, canary = await counts(source, rollout, "probe", 5)
    assert stable.failures == 0
    assert canary.failures == canary.calls
    assert canary.causes[0][0].startswith("HTTP 5")
    assert "r-1" in woken
    await source.close()
    assert [session.id async for session in cloud.sessions("support-agent")] == []


async def test_the_probe_reads_streams_to_their_end_and_believes_no_200_by_itself(cloud: FoundryClient) -> None:
    rollout = await a_trial(cloud, "emulator://echo?empty_rate=1")
    source = ProbeSource(cloud, clock.now)
    stable, canary = await counts(source, rollout, "probe", 6)
    assert (stable.failures, canary.failures) == (0, canary.calls)
    assert {cause for cause, _ in canary.causes} == {"response failed"}
    await source.close()
    session = await cloud.open_session("support-agent", "1", "user-session-4711")
    for asked in ("hello", {"stream": True}):
        streamed = await cloud.ask("support-agent", session.id, asked, timedelta(seconds=10), stream=True)
        assert (streamed.status, streamed.media, streamed.is_whole) == (200, "text/event-stream", True)


async def test_the_logs_of_live_sessions_tell_the_same_and_of_the_probe_apart(cloud: FoundryClient) -> None:
    rollout = await a_trial(cloud, "emulator://echo?error_rate=1")
    woken: list[str] = []
    own = OwnSessions(cloud, clock.now)
    probe, source = ProbeSource(own, clock.now), LogSource(own, clock.now, woken.append)
    await source.measure(rollout, Window(clock.now(), clock.now()))
    await probe.measure(rollout, Window(clock.now(), clock.now()))
    user = await cloud.open_session("support-agent", "2", "user-session-4711")
    for _ in range(3):
        await cloud.ask("support-agent", user.id, "hello", timedelta(seconds=10))
    stable, canary = await counts(source, rollout, "logs/probe", 3)
    assert stable.failures == 0
    assert canary.failures == canary.calls
    one_sided = replace(rollout, stable="2", canary="1")
    seen = {each.source: each for each in await source.measure(one_sided, _all(rollout))}
    assert seen["logs"].stable.failures == seen["logs"].stable.calls > 0
    assert "r-1" in woken
    await source.close()
    await probe.close()


async def test_a_session_that_crashed_before_anybody_could_follow_it_counts_as_failed(cloud: FoundryClient) -> None:
    rollout = await a_trial(cloud, "emulator://echo?crash=true")
    source = LogSource(cloud, clock.now)
    await source.measure(rollout, _all(rollout))
    with pytest.raises(CloudError, match="session_creation_failed"):
        await cloud.open_session("support-agent", "2", "user-session-4711")
    async with asyncio.timeout(PATIENCE):
        while True:
            seen, _ = await source.measure(rollout, _all(rollout))
            if seen.canary.calls:
                break
            await asyncio.sleep(0.05)
    # A read that comes while the sandbox dies finds its log.
    assert seen.canary.causes in {(("session failed", 1),), (("session ended on an error", 1),)}
    assert (seen.canary.calls, seen.canary.failures, seen.stable) == (1, 1, Counts())
    await source.close()


async def test_a_model_that_throttles_is_told_by_the_answer_and_by_the_log_where_the_answer_masks_it(
    cloud: FoundryClient,
) -> None:
    rollout = await a_trial(cloud, "emulator://echo?throttle_rate=1&throttle_is_masked=true")
    own = OwnSessions(cloud, clock.now)
    probe, source = ProbeSource(own, clock.now), LogSource(own, clock.now)
    await source.measure(rollout, Window(clock.now(), clock.now()))
    _, asked = await counts(probe, rollout, "probe", 2)
    _, logged = await counts(source, rollout, "logs/probe", 2)
    assert (asked.rate_limited, {cause for cause, _ in asked.causes}) == (0, {"HTTP 500 server_error"})
    assert (logged.rate_limited, logged.causes) == (logged.calls, (("model rate limit", logged.calls),))
    await probe.close()
    await source.close()


async def test_the_logs_tell_which_version_new_sessions_meet_where_the_cloud_ignores_the_weights(
    cloud: FoundryClient, base_url: str
) -> None:
    rollout = await a_trial(cloud, "emulator://echo?reply=two")
    await cloud.route("support-agent", Routing.of({"1": 50, "2": 50}))
    begun = clock.now() - timedelta(seconds=20)
    rollout = replace(rollout, started_at=begun, step_started_at=begun)
    source = LogSource(cloud, clock.now)
    async with httpx.AsyncClient(base_url=f"{base_url}/_emulator") as control:
        await control.patch("/switches", json={"new_sessions_to": "1"})
        try:
            await source.measure(rollout, Window(begun, clock.now()))
            await asyncio.sleep(1)  # The cloud tells whole seconds.
            await asyncio.gather(*(cloud.api.sessions.create("support-agent") for _ in range(8)))
            async with asyncio.timeout(PATIENCE):
                while True:
                    seen, _ = await source.measure(rollout, _all(rollout))
                    if seen.stable.new_sessions >= 8:
                        break
                    await asyncio.sleep(0.05)
        finally:
            await control.patch("/switches", json={"new_sessions_to": None})
    assert (seen.stable.new_sessions, seen.canary.new_sessions) == (8, 0)
    await source.close()


def _all(rollout: Rollout) -> Window:
    begun = rollout.started_at or clock.now()
    return Window(begun, clock.now() + timedelta(seconds=1))
