"""Every JSON answer of the cloud is turned into rubbish, in turn, while a rollout waits, goes on and goes back.

No fact is taken from it and no rollout moves on it; what is unknown but well-formed is tolerated; and once the answers
are whole again the rollout ends as it should.
"""

import copy
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from builders import NOON, a_rollout
from emulated import ECHO, a_project, name_of, route
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.effects import SessionsOnRollback
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.retry import RetryBudget
from foundry_rollouts.ports import AgentKnown, World
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from small_world import TICK, a_quick_policy

AGENT = "support-agent"
TWICE = RetryBudget(attempts=2, first=timedelta(0), most=timedelta(0), jitter=timedelta(0))
JSON = {"content-type": "application/json"}


def _json(value: Any) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), JSON


def _wrong_types(value: Any) -> Any:
    """Return an answer of the same members, none of which is of its type."""
    match value:
        case dict():
            return {key: _wrong_types(each) for key, each in value.items()}
        case list():
            return {"0": value}
        case str():
            return [value]
        case _:
            return {"was": value}


def _with_more(value: Any) -> Any:
    """Return the same answer with members that nobody knows, everywhere."""
    match value:
        case dict():
            return {key: _with_more(each) for key, each in value.items()} | {"novelty": {"x": [1, None]}}
        case list():
            return [_with_more(each) for each in value]
        case _:
            return value


RUBBISH: dict[str, Callable[[bytes], tuple[bytes, dict[str, str]]]] = {
    "cut": lambda body: (body[: len(body) * 2 // 3], JSON),
    "HTML": lambda _: (b"<html><body>Sign in</body></html>", {"content-type": "text/html"}),
    "empty": lambda _: (b"", JSON),
    "a list": lambda body: _json([json.loads(body)]),
    "an empty object": lambda _: _json({}),
    "null": lambda _: _json(None),
    "another object": lambda _: _json({"object": "thing", "id": "x", "name": "x", "version": "9", "data": "x"}),
    "an error": lambda _: _json({"error": {"code": "oops", "message": "\x1b[2J"}}),
    "wrong types": lambda body: _json(_wrong_types(json.loads(body))),
}


def _operation(request: httpx.Request) -> str:
    end = request.url.path.partition("/agents")[2]
    if "/sessions" in end:
        return "sessions.list" if request.method == "GET" else "sessions.stop"
    if "/versions" in end:
        return "versions.get"
    return "agents.list" if not end.strip("/") else "agents.get" if request.method == "GET" else "agents.route"


@dataclass
class Fuzzed(httpx.AsyncBaseTransport):
    """Carries requests to the local Foundry, and alters the good answers of one operation."""

    inner: httpx.AsyncHTTPTransport = field(default_factory=httpx.AsyncHTTPTransport)
    operation: str = ""
    alter: Callable[[bytes], tuple[bytes, dict[str, str]]] | None = None
    struck: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        body = await answer.aread()
        if self.alter is None or _operation(request) != self.operation or not 200 <= answer.status_code < 300:
            return httpx.Response(answer.status_code, headers=answer.headers, content=body)
        self.struck += 1
        content, headers = self.alter(body or b"{}")
        return httpx.Response(answer.status_code, headers=headers, content=content)

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Calls:
    """Thirty calls on each version a window; the canary's fail when it is told to be bad."""

    is_bad: bool = False
    name: str = "probe"

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        failures = 18 if self.is_bad else 0
        canary = Counts(calls=30, failures=failures, causes=(("HTTP 500", failures),) if failures else ())
        return (Measurement(self.name, window, stable=Counts(calls=30), canary=canary),)

    async def release(self, rollout: str) -> None:
        return

    async def close(self) -> None:
        return


@dataclass
class Stage:
    """One agent of the local Foundry with a rollout of version 2, and a clock by hand."""

    project: httpx.Client
    store: SqlStore
    wire: Fuzzed
    client: FoundryClient
    source: Calls = field(default_factory=Calls)
    time: datetime = NOON

    def __post_init__(self) -> None:
        self.policy = a_quick_policy(sessions_on_rollback=SessionsOnRollback.STOP)
        policies: Any = SimpleNamespace(policy_for=lambda _: self.policy)
        self.world = World(self.client, self.client, self.store, policies, (self.source,))
        metrics = Metrics("test")
        self.ticker = Ticker(self.world, metrics, self.now, TICK, OfflineGuard(self.world, metrics, self.now))
        ids = itertools.count()
        self.discovery = Discovery(
            self.world, metrics, LeasePool(self.store, lambda: 0.0), self.now, lambda _: f"r-{next(ids) + 7}"
        )

    def now(self) -> datetime:
        return self.time

    async def begin(self) -> None:
        for reply in ("one", "two"):
            image = {"container_configuration": {"image": f"emulator://echo?reply={reply}"}}
            made = self.project.post(f"/agents/{AGENT}/versions", json={"definition": ECHO | image})
            assert made.status_code == 200
        assert route(self.project, {"1": 100}, AGENT).status_code == 200
        seen = await self.client.agent(AGENT)
        known = AgentKnown(
            AGENT, stable="1", newest="2", latest="2", latest_status="active", routing=seen.routing, policy="support"
        )
        await self.store.see_agents([known], self.time)
        rollout = a_rollout(agent=AGENT, policy=self.policy, event_count=1)
        await self.store.create(rollout, Event("r-1:1", self.time, "rollout.created", AGENT, "it is new", "r-1"), None)

    async def tick(self) -> CloudError | None:
        """Tick what is due; return the error of the cloud that it met."""
        self.time += TICK
        for lease in await self.store.claim_due(self.time, 10):
            try:
                await self.ticker.tick(lease)
            except CloudError as error:
                return error
            finally:
                await self.store.release(lease)
        return None

    async def until(self, is_there: Callable[[Rollout], bool]) -> Rollout:
        for _ in range(60):
            rollout = await self.store.rollout("r-1")
            if is_there(rollout) and await self.store.intent(AGENT) is None:
                return rollout
            await self.tick()
            self.time += timedelta(seconds=30)
        raise AssertionError("it does not come to that")

    def weights(self) -> dict[str, int]:
        endpoint = self.project.get(f"/agents/{AGENT}").json()["agent_endpoint"]
        rules = endpoint["version_selector"]["version_selection_rules"]
        return {rule["agent_version"]: rule["traffic_percentage"] for rule in rules}

    async def stands(self) -> tuple[Phase, int, dict[str, int]]:
        rollout = await self.store.rollout("r-1")
        return rollout.phase, rollout.step, self.weights()


@pytest.fixture
async def stage(base_url: str, open_store: Callable[[str], SqlStore]) -> AsyncIterator[Stage]:
    wire = Fuzzed()
    with a_project(base_url) as project:
        endpoint = f"{base_url}/api/projects/{name_of(project)}"
        async with FoundryClient(endpoint, FixedToken(), retries=TWICE, wire=wire) as client:
            stage = Stage(project, open_store("fuzzed"), wire, client)
            await stage.begin()
            yield stage


def altered(stage: Stage, operation: str) -> Iterator[str]:
    stage.wire.operation = operation
    for name, alter in RUBBISH.items():
        stage.wire.alter, stage.wire.struck = alter, 0
        yield name
    stage.wire.alter = None


MOMENTS = ["pending", "in progress", "being rolled back"]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def _bring_to(stage: Stage, moment: str) -> None:
    if moment != "pending":
        await stage.until(lambda rollout: rollout.step == 1)
    stage.source.is_bad = moment == "being rolled back"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("operation", ["agents.get", "versions.get"])
async def test_no_rollout_moves_on_a_read_that_is_not_whole(stage: Stage, operation: str, moment: str) -> None:
    await _bring_to(stage, moment)
    before = await stage.stands()
    for name in altered(stage, operation):
        error = await stage.tick()
        if not stage.wire.struck:
            break  # this operation is not asked at this moment
        if stage.source.is_bad and operation == "versions.get":
            break  # proved harm rolls back whatever the versions' answers are
        told = str(error) if error else (await stage.store.rollout("r-1")).because
        assert f"{operation} answered 200 with " in told, name
        assert "\x1b" not in told
        phase, step, weights = await stage.stands()
        assert (phase, step) == before[:2], name
        # Proved harm needs no reading: the canary is taken out at once, and recorded when that can be read back.
        assert weights == before[2] or (stage.source.is_bad and weights == {"1": 100}), name
    stage.wire.alter = None
    ended = await stage.until(lambda rollout: rollout.phase.is_final)
    assert ended.phase is (Phase.ROLLED_BACK if stage.source.is_bad else Phase.PROMOTED)
    assert stage.weights() == ({"1": 100} if stage.source.is_bad else {"2": 100})


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_change_that_is_answered_by_rubbish_is_read_back(stage: Stage, moment: str) -> None:
    await _bring_to(stage, moment)
    struck = 0
    for _ in altered(stage, "agents.route"):
        await stage.tick()
        struck += stage.wire.struck
        rollout, weights = await stage.store.rollout("r-1"), stage.weights()
        assert sum(weights.values()) == 100
        if rollout.phase is Phase.ROLLED_BACK:
            assert weights == {"1": 100}, "what is recorded is what the cloud shows"
        if rollout.phase is Phase.PROMOTED:
            assert weights == {"2": 100}, "what is recorded is what the cloud shows"
    assert struck
    ended = await stage.until(lambda rollout: rollout.phase.is_final)
    assert ended.phase is (Phase.ROLLED_BACK if stage.source.is_bad else Phase.PROMOTED)
    assert stage.weights() == ({"1": 100} if stage.source.is_bad else {"2": 100})


async def test_a_rollback_needs_no_whole_list_of_sessions(stage: Stage) -> None:
    await _bring_to(stage, "being rolled back")
    stage.wire.operation, stage.wire.alter = "sessions.list", RUBBISH["HTML"]
    ended = await stage.until(lambda rollout: rollout.phase.is_final)
    assert ended.phase is Phase.ROLLED_BACK
    assert stage.weights() == {"1": 100}


@pytest.mark.parametrize("operation", ["agents.list", "agents.get", "versions.get"])
async def test_discovery_learns_nothing_from_a_list_that_is_not_whole(stage: Stage, operation: str) -> None:
    await stage.discovery.discover()
    before = await stage.store.agents()
    assert before[0].stable == "1"
    for name in altered(stage, operation):
        if operation == "agents.list":
            with pytest.raises(CloudError, match=r"agents\.list answered 200 with"):
                await stage.discovery.discover()
        else:
            await stage.discovery.discover()
        assert [(each.name, each.stable, each.newest) for each in await stage.store.agents()] == [
            (each.name, each.stable, each.newest) for each in before
        ], name
        assert not any(each.is_gone for each in await stage.store.agents()), name
        assert stage.weights() == {"1": 100}, name


@pytest.mark.parametrize("operation", ["agents.list", "agents.get", "versions.get", "agents.route", "sessions.list"])
async def test_members_that_nobody_knows_are_tolerated(stage: Stage, operation: str) -> None:
    stage.wire.operation = operation
    stage.wire.alter = lambda body: _json(_with_more(copy.deepcopy(json.loads(body))))
    await stage.discovery.discover()
    ended = await stage.until(lambda rollout: rollout.phase.is_final)
    assert ended.phase is Phase.PROMOTED
    assert stage.weights() == {"2": 100}
