"""One's trouble is one's own: a server that hangs for one agent is asked on for another, which is judged in time."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from answering import a_server, say
from builders import NOON
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.measurement import Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import HttpConfig, InsightsConfig
from foundry_rollouts.ports import Source
from foundry_rollouts.signals.application_insights import InsightsCounter
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.json_endpoint import HttpCounter
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.polling import PollingSource, PollTimings
from unit.signals.session_world import Hand, a_watched

#: How long a hanging server is asked. In less than that another agent is judged, so that it waits for none of them.
LIMIT = timedelta(seconds=4)
MANY = 60

GUID = "11111111-2222-3333-4444-555555555555"
TIMINGS = PollTimings(answer_within=timedelta(seconds=0.05))


@dataclass
class Shared:
    """A server, and a workspace, that hang for every agent but one, whose canary fails."""

    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
        except asyncio.IncompleteReadError:
            return  # Whoever asked is gone.
        if "/b/" not in path:
            await reader.read()
        say(writer, json.dumps({"calls": 60, "failed": 60 if path.endswith("/2") else 0}).encode())

    def query_workspace(self, workspace_id: str, query: str, *, timespan: Any, **kwargs: Any) -> Any:
        if 'let agent = "b"' not in query:
            self.over.wait(20)
        row = [60, 60 if 'let asked = "2"' in query else 0]
        return type("Result", (), {"tables": [type("Table", (), {"columns": ["calls", "failures"], "rows": [row]})]})

    def close(self) -> None: ...


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    shared = Shared()
    async with a_server(shared.answer) as shared.url:
        yield shared
    shared.over.set()


def counting(shared: Shared, name: str, clock: Hand) -> tuple[Source, Rollout]:
    budget = RateLimiter(clock.now, burst=1000)
    if name == "http":
        plan: Any = HttpConfig(shared.url + "/{agent}/{version}", "/calls", "/failed")
        source: Source = PollingSource(HttpCounter(Fetcher(budget, LIMIT)), clock.now, TIMINGS)
    else:
        plan = InsightsConfig(GUID, every=timedelta(seconds=30), delay=timedelta(seconds=5))
        source = PollingSource(InsightsCounter(budget, lambda: shared, LIMIT), clock.now, TIMINGS)
    return source, a_watched(**{"logs": None, name.replace("-", "_"): plan})


@pytest.mark.parametrize("name", ["http", "application-insights"])
async def test_a_server_that_hangs_for_many_agents_delays_no_other(shared: Shared, name: str) -> None:
    clock = Hand(NOON + timedelta(seconds=36))
    source, rollout = counting(shared, name, clock)
    ill = [replace(rollout, id=f"r-{number}", agent=f"a-{number}") for number in range(MANY)]
    well = replace(rollout, id="r-b", agent="b")

    async def judged(each: Rollout) -> Analysis:
        measured = await source.measure(each, Window(NOON, clock.time))
        return judge(each, initial(each.policy), measured, clock.time)

    try:
        for _ in range(4):
            # A look at each of them in turn, as the sweeps of a minute would.
            await asyncio.gather(*(judged(each) for each in ill))
            await asyncio.sleep(LIMIT.total_seconds() + 0.2)
        async with asyncio.timeout(LIMIT.total_seconds()):
            while (seen := await judged(well)).verdict is not Verdict.FAIL:  # noqa: ASYNC110 - nobody rings a bell here
                await asyncio.sleep(0.01)
        assert "canary 60 of 60 failed" in seen.because
        told = (await judged(ill[0])).because
        assert told.startswith(f"error-rate: {name} cannot be read: no answer within 4 s")
    finally:
        shared.over.set()
        await source.close()
