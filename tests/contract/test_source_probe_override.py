"""The probe where the version of one call may be asked for: with every service, and every proxy before it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from contract.test_source_probe_and_logs import NUMBERS, PROTOCOLS, a_trial, counts
from foundry_rollouts import clock
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.signals.logs import LogSource
from foundry_rollouts.signals.own_sessions import PREFIX, OwnSessions
from foundry_rollouts.signals.probe import ProbeSource
from unit.signals.session_world import until

BROKEN = "emulator://echo?error_rate=1"
WISH = "x-agent-version-override"
SESSION = "x-agent-session-id"
TOLD = ("x-agent-version-resolved", "x-agent-version-resolution", "x-agent-version-fallback")


class Stripping(httpx.AsyncBaseTransport):
    """A proxy that takes headers away, of requests and of answers."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self._wire = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for name in self.names:
            request.headers.pop(name, None)
        answer = await self._wire.handle_async_request(request)
        for name in self.names:
            answer.headers.pop(name, None)
        return answer

    async def aclose(self) -> None:
        await self._wire.aclose()


class Garbling(httpx.AsyncBaseTransport):
    """A proxy that writes the session of an answer as ``garbled`` has it."""

    def __init__(self, garbled: str) -> None:
        self.garbled = garbled
        self._wire = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._wire.handle_async_request(request)
        if session := answer.headers.get(SESSION):
            answer.headers[SESSION] = self.garbled.format(session)
        return answer

    async def aclose(self) -> None:
        await self._wire.aclose()


@pytest.fixture
async def control(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{base_url}/_emulator") as client:
        yield client
        await client.patch("/switches", json={"version_override": "obeys"})


async def a_probed(cloud: FoundryClient, canary: str = BROKEN) -> Rollout:
    """Return the rollout of a canary that has no weight yet, so that no split can lead the probe to it."""
    rollout = await a_trial(cloud, canary)
    await cloud.route("support-agent", Routing.of({"1": 100}))
    return rollout


async def note_of(source: ProbeSource, rollout: Rollout) -> str | None:
    (measurement,) = await source.measure(rollout, Window(rollout.started_at or clock.now(), clock.now()))
    return measurement.note


@pytest.mark.parametrize(
    ("switch", "stripped", "note"),
    [
        ("obeys", (), None),
        ("ignores", (), "and version 1 served"),
        ("falls-back", (), "and the service fell back to version 1"),
        ("absent", (), None),
        ("obeys", (WISH,), "and version 1 served"),
        ("obeys", TOLD, None),
        ("falls-back", TOLD[2:], "and version 1 served"),
    ],
)
async def test_each_version_is_asked_and_counted_for_itself_whatever_the_service_makes_of_the_wish(
    base_url: str, control: httpx.AsyncClient, switch: str, stripped: tuple[str, ...], note: str | None
) -> None:
    await control.patch("/switches", json={"version_override": switch})
    is_by_number = switch != "obeys" or bool(stripped)
    endpoint = f"{base_url}/api/projects/override-{next(NUMBERS)}"
    async with FoundryClient(endpoint, FixedToken(), wire=Stripping(*stripped)) as cloud:
        rollout = await a_probed(cloud)
        source = ProbeSource(cloud, clock.now)
        stable, canary = await counts(source, rollout, "probe", 4)
        assert (stable.failures, canary.failures) == (0, canary.calls)
        open_now = [session.id async for session in cloud.sessions("support-agent")]
        assert {each.startswith(PREFIX) for each in open_now} == {is_by_number}
        assert (note or "") in (await note_of(source, rollout) or "")
        assert (await note_of(source, rollout) is None) is (note is None)
        await source.close()
        assert [session.id async for session in cloud.sessions("support-agent")] == []


@pytest.mark.parametrize("garbled", ["{0}, {0}", "..", "../../{0}", "opened-for-one-call-only"])
async def test_a_session_that_cannot_be_used_again_is_no_evidence_against_a_version(
    base_url: str, garbled: str
) -> None:
    endpoint = f"{base_url}/api/projects/override-{next(NUMBERS)}"
    async with FoundryClient(endpoint, FixedToken(), wire=Garbling(garbled)) as cloud:
        rollout = await a_probed(cloud, "emulator://echo?reply=fine")
        source = ProbeSource(cloud, clock.now)
        stable, canary = await counts(source, rollout, "probe", 6)
        assert (stable.failures, canary.failures) == (0, 0)
        await source.close()


async def test_a_service_that_stops_obeying_is_reported_and_nothing_counts_for_another_version(
    base_url: str, control: httpx.AsyncClient
) -> None:
    endpoint = f"{base_url}/api/projects/override-{next(NUMBERS)}"
    async with FoundryClient(endpoint, FixedToken()) as cloud:
        rollout, woken = await a_probed(cloud), list[str]()
        source = ProbeSource(cloud, clock.now, woken.append)
        await counts(source, rollout, "probe", 2)
        await control.patch("/switches", json={"version_override": "falls-back"})

        async def is_told() -> bool:
            return await note_of(source, rollout) is not None

        await until(is_told)
        note = str(await note_of(source, rollout))
        assert note.startswith("the probe asked for version 2 by x-agent-version-override, and the service fell back")
        before = (await counts(source, rollout, "probe", 1))[1].calls
        stable, canary = await counts(source, rollout, "probe", before + 3)
        assert (stable.failures, canary.failures) == (0, canary.calls)
        assert "r-1" in woken
        await source.close()


async def test_two_agents_under_probe_at_once_and_their_logs_stay_apart(base_url: str) -> None:
    endpoint = f"{base_url}/api/projects/override-{next(NUMBERS)}"
    async with FoundryClient(endpoint, FixedToken()) as cloud:
        one = await a_probed(cloud)
        for image in ("emulator://echo", "emulator://echo?reply=well"):
            await cloud.api.versions.create("other-agent", Definition(image=image, protocols=PROTOCOLS))
        other = replace(one, id="r-2", agent="other-agent")
        own = OwnSessions(cloud, clock.now)
        probe, logs = ProbeSource(own, clock.now), LogSource(own, clock.now)
        for rollout in (one, other):
            await logs.measure(rollout, Window(clock.now(), clock.now()))
        (_, bad), (_, good) = [await counts(probe, rollout, "probe", 4) for rollout in (one, other)]
        assert (bad.failures, good.failures) == (bad.calls, 0)
        stable, canary = await counts(logs, one, "logs/probe", 3)
        assert (stable.failures, canary.failures) == (0, canary.calls)
        users = await of_users(logs, one)
        # What the cloud opened for calls of ours is no traffic of users, and no new session of theirs.
        assert (users.stable.calls, users.canary.calls) == (0, 0)
        assert (users.stable.new_sessions, users.canary.new_sessions) == (0, 0)
        await probe.close()
        await logs.close()


async def of_users(source: LogSource, rollout: Rollout) -> Measurement:
    window = Window(rollout.started_at or clock.now(), clock.now() + timedelta(seconds=1))
    return next(each for each in await source.measure(rollout, window) if each.source == "logs")
