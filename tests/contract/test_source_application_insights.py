"""Counts by KQL: the official client, unmodified, against a server that speaks the query protocol."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.monitor.query import LogsQueryClient

from answering import a_server, say
from builders import NOON
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.sources import InsightsConfig
from foundry_rollouts.signals.application_insights import InsightsCounter, LogsQuery, query_of
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.polling import CountQuery, PollingSource, PollTimings
from unit.signals.session_world import Hand, a_watched

WORKSPACE = "11111111-2222-3333-4444-555555555555"
LATE = timedelta(minutes=3)
TIMINGS = PollTimings(answer_within=timedelta(seconds=30))


def table(calls: Any, failures: Any, **more: Any) -> dict[str, Any]:
    columns = [{"name": "calls", "type": "long"}, {"name": "failures", "type": "long"}]
    return {"tables": [{"name": "PrimaryResult", "columns": columns, "rows": [[calls, failures]]}], **more}


@dataclass
class Workspace:
    """A Log Analytics endpoint that answers as it is told to."""

    tells: dict[str, Any] = field(default_factory=lambda: {"1": table(90, 1), "2": table(10, 4)})
    status: str = "200 OK"
    is_silent: bool = False
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        found = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        asked = json.loads(await reader.readexactly(int(found[1]) if found else 0))
        self.asked.append((head.split()[1], asked))
        if self.is_silent:
            await reader.read()
        else:
            version = re.search(r'let asked = "(.*?)";', asked["query"])
            body = json.dumps(self.tells[version[1] if version else ""]).encode()
            say(writer, body, self.status, Content_Type="application/json")


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    workspace = Workspace()
    async with a_server(workspace.answer) as workspace.url:
        yield workspace


class AnyCredential:
    """A credential that is never asked."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Any:
        raise AssertionError(scopes)


def client_of(url: str) -> LogsQuery:
    # The client sends no token in the clear; this one sends none.
    client: LogsQuery = LogsQueryClient(AnyCredential(), endpoint=url, authentication_policy=SansIOHTTPPolicy())
    return client


async def measured(workspace: Workspace, limit: timedelta = TIMINGS.answer_within) -> Measurement:
    plan = InsightsConfig(WORKSPACE, delay=LATE)
    clock = Hand(NOON + timedelta(minutes=4))
    counter = InsightsCounter(RateLimiter(clock.now), lambda: client_of(workspace.url), limit)
    source = PollingSource(counter, clock.now, TIMINGS)
    rollout = a_watched(logs=None, application_insights=plan)
    try:
        (found,) = await source.measure(rollout, Window(NOON, clock.time))
        return found
    finally:
        await source.close()


async def test_the_official_client_counts_both_versions(workspace: Workspace) -> None:
    seen = await measured(workspace)
    assert (seen.trouble, seen.window) == (None, Window(NOON, NOON + timedelta(minutes=1)))
    assert seen.stable == Counts(calls=90, failures=1, causes=(("failed by application-insights", 1),))
    assert (seen.canary.calls, seen.canary.failures) == (10, 4)
    path, body = workspace.asked[0]
    assert path.endswith(f"/workspaces/{WORKSPACE}/query")
    assert body["timespan"] == "2026-03-02T11:59:50.000Z/2026-03-02T12:01:10.000Z"
    assert 'let agent = "support-agent";' in body["query"]


async def test_a_version_without_telemetry_counts_nothing(workspace: Workspace) -> None:
    workspace.tells["2"] = table(0, None)
    seen = await measured(workspace)
    assert (seen.trouble, seen.canary) == (None, Counts())


@pytest.mark.parametrize(
    ("told", "trouble"),
    [
        (table(-1, 0), "tells of -1 calls"),
        (table(4, 9), "tells of 9 failures in 4 calls"),
        (table("NaN", 0), "tells no number of calls"),
        ({"tables": []}, "the answer holds no counts"),
        (table(4, 0, error={"code": "PartialError", "message": "x"}), "answers in part only"),
    ],
)
async def test_what_cannot_be_a_count_is_told(workspace: Workspace, told: Any, trouble: str) -> None:
    workspace.tells["2"] = told
    seen = await measured(workspace)
    assert seen.trouble is not None
    assert seen.trouble.startswith(trouble)
    assert seen.stable == seen.canary == Counts()


@pytest.mark.parametrize("status", ["403 Forbidden", "429 Too Many Requests", "503 Service Unavailable"])
async def test_a_workspace_that_refuses_is_told_and_asked_once(workspace: Workspace, status: str) -> None:
    workspace.status = status
    workspace.tells = {version: {"error": {"code": "Denied", "message": "no"}} for version in ("1", "2")}
    assert (await measured(workspace)).trouble == f"HTTP {status[:3]} Denied"
    assert len(workspace.asked) == 2


async def test_a_silent_workspace_is_told_after_a_while(workspace: Workspace) -> None:
    workspace.is_silent = True
    seen = await measured(workspace, limit=timedelta(seconds=0.5))
    assert seen.trouble in {"no answer within 0.5 s", "cannot be reached (ServiceResponseTimeoutError)"}


async def test_a_dead_workspace_is_told(workspace: Workspace) -> None:
    workspace.url = "http://127.0.0.1:9"
    assert (await measured(workspace)).trouble == "cannot be reached (ServiceRequestError)"


async def test_without_the_extra_it_says_what_to_install() -> None:
    def missing() -> LogsQuery:
        raise ImportError("azure.monitor.query")

    clock = Hand(NOON + timedelta(minutes=4))
    source = PollingSource(InsightsCounter(RateLimiter(clock.now), missing), clock.now, TIMINGS)
    rollout = a_watched(logs=None, application_insights=InsightsConfig(WORKSPACE))
    (seen,) = await source.measure(rollout, Window(NOON, clock.time))
    assert seen.trouble == "cannot be asked: install foundry-rollouts[azure-monitor]"
    await source.close()


def test_names_cannot_leave_their_strings() -> None:
    query = query_of(CountQuery('a"; drop', "2\\", Window(NOON, NOON + LATE)))
    assert 'let agent = "a\\"; drop"; let asked = "2\\\\";' in query


def test_a_call_belongs_to_the_window_in_which_its_earliest_span_began() -> None:
    query = query_of(CountQuery("support-agent", "2", Window(NOON, NOON + timedelta(minutes=1))))
    read, counted = (
        f"{name} >= datetime({since}) and {name} < datetime({until})"
        for name, since, until in (
            ("TimeGenerated", "2026-03-02T11:59:50+00:00", "2026-03-02T12:01:10+00:00"),
            ("began", "2026-03-02T12:00:00+00:00", "2026-03-02T12:01:00+00:00"),
        )
    )
    began = query.index("began = min(TimeGenerated)")
    assert query.index(read) < began < query.index(counted)
    assert "{" not in query
