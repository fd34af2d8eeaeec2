"""Each source in each trouble: the cause that the judge tells, which is never a pass, and harm only where it is the
canary's own.

What is not in the table cannot be: an address that answers with JSON and a workspace tell no time of their counts, and
reports that lie are refused at the door (``test_source_outcomes_refused.py``).
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.core.exceptions import ServiceRequestError

from answering import a_server, say
from builders import NOON
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import (
    Expectation,
    HttpConfig,
    InsightsConfig,
    OutcomesConfig,
    PrometheusConfig,
    Prompt,
)
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Answer, LogLine, Outcome, Reports, Source
from foundry_rollouts.signals.application_insights import InsightsCounter
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.json_endpoint import HttpCounter
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.logs import LogSource
from foundry_rollouts.signals.outcomes import OutcomeSource
from foundry_rollouts.signals.polling import PollingSource, PollTimings
from foundry_rollouts.signals.probe import ProbeSource
from foundry_rollouts.signals.probe_target import ProbeTimings
from foundry_rollouts.signals.prometheus import PrometheusCounter
from foundry_rollouts.signals.watching import LogTimings
from patience import PATIENCE
from unit.signals.session_world import Hand, HandMadeSessions, a_quick_probe, a_session, a_watched, refused

#: How long a server may take that never answers; every other one answers, however long a busy machine takes over it.
LIMIT = timedelta(seconds=0.5)
NUMBERS = {"nan": (float("nan"), 0), "negative": (-3, 0), "wrong unit": (20, 35)}
GUID = "11111111-2222-3333-4444-555555555555"
NO_DATA = (Verdict.NO_DATA, "error-rate: no canary calls seen at this step yet")


def unread(source: str, trouble: str) -> tuple[Verdict, str]:
    return Verdict.SOURCE_ERROR, f"error-rate: {source} cannot be read: {trouble}"


@dataclass
class Stranger:
    """A server, or a workspace, that gives counts and is in ``trouble``; a slow one answers when it is ``over``."""

    trouble: str
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def limit(self) -> timedelta:
        return LIMIT if self.trouble == "silent" else timedelta(seconds=PATIENCE)

    @property
    def told(self) -> tuple[float, float]:
        return NUMBERS.get(self.trouble, (10, 0))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = urlsplit((await reader.readuntil(b"\r\n\r\n")).decode().split()[1])
        except asyncio.IncompleteReadError:
            return  # Whoever asked is gone.
        if self.trouble == "silent":
            await reader.read()
        if self.trouble == "slow":
            await asyncio.to_thread(self.over.wait)
        say(writer, self._body(parse_qs(asked.query)))

    def _body(self, query: dict[str, list[str]]) -> bytes:
        calls, failures = self.told
        if "query" not in query:
            return json.dumps({"calls": calls, "failures": failures}).encode()
        at = float(query["time"][0]) + (86_400 if self.trouble == "future" else 0)
        number = str(failures if "failures" in query["query"][0] else calls)
        return json.dumps({"data": {"resultType": "scalar", "result": [at, number]}}).encode()

    def query_workspace(self, workspace_id: str, query: str, *, timespan: Any, **kwargs: Any) -> Any:
        if self.trouble == "dead":
            raise ServiceRequestError("no route")
        if self.trouble in {"silent", "slow"}:
            self.over.wait()
        table = type("Table", (), {"columns": ["calls", "failures"], "rows": [list(self.told)]})
        return type("Result", (), {"partial_error": None, "tables": [table]})

    def close(self) -> None: ...


@pytest.fixture
async def stranger(request: pytest.FixtureRequest) -> AsyncIterator[Stranger]:
    stranger = Stranger(request.param)
    if stranger.trouble == "dead":
        stranger.url = "http://127.0.0.1:9"
        yield stranger
    else:
        async with a_server(stranger.answer) as stranger.url:
            yield stranger
            stranger.over.set()


def pulled_from(stranger: Stranger, name: str, clock: Hand) -> tuple[Source, Rollout]:
    budget = RateLimiter(clock.now)
    match name:
        case "prometheus":
            plan: Any = PrometheusConfig(stranger.url, "calls", "failures")
            counter: Any = PrometheusCounter(Fetcher(budget, stranger.limit))
        case "http":
            plan = HttpConfig(stranger.url + "/{version}", "/calls", "/failures")
            counter = HttpCounter(Fetcher(budget, stranger.limit))
        case _:
            plan = InsightsConfig(GUID)
            counter = InsightsCounter(budget, lambda: stranger, stranger.limit)
    timings = PollTimings(answer_within=timedelta(seconds=0.01))
    return PollingSource(counter, clock.now, timings), a_watched(**{"logs": None, name.replace("-", "_"): plan})


def judged(rollout: Rollout, measured: list[Measurement], clock: Hand) -> Analysis:
    return judge(rollout, initial(rollout.policy), measured, clock.time)


async def settled(source: Source, rollout: Rollout, clock: Hand, is_enough: Callable[[Analysis], bool]) -> Analysis:
    """Measure and judge, tick by tick, until the verdict is what is waited for."""
    async with asyncio.timeout(PATIENCE):
        while True:
            measured = list(await source.measure(rollout, Window(NOON, clock.time)))
            analysis = judged(rollout, measured, clock)
            if is_enough(analysis):
                return analysis
            await asyncio.sleep(0.005)


FUTURE = "tells of the future (2026-03-03T"


@pytest.mark.parametrize(
    ("name", "stranger", "trouble"),
    [
        *(
            (name, trouble, sentence)
            for name in ("prometheus", "http", "application-insights")
            for trouble, sentence in (
                ("silent", "no answer within 0.5 s"),
                ("nan", "tells nan as the number of calls"),
                ("negative", "tells of -3 calls: a count is never negative"),
                ("wrong unit", "tells of 35 failures in 20 calls: is one of them a rate or a percentage?"),
                ("dead", "cannot be reached ("),
            )
        ),
        ("prometheus", "future", FUTURE),
    ],
    indirect=["stranger"],
)
async def test_counts_that_cannot_be_had_or_cannot_be_are_our_trouble(
    name: str, stranger: Stranger, trouble: str
) -> None:
    clock = Hand(NOON + timedelta(minutes=10))
    source, rollout = pulled_from(stranger, name, clock)
    verdict, because = unread(name, trouble)
    analysis = await settled(source, rollout, clock, lambda seen: seen.verdict is not Verdict.NO_DATA)
    assert (analysis.verdict, analysis.because.startswith(because)) == (verdict, True), analysis.because
    await source.close()


@pytest.mark.parametrize("name", ["prometheus", "http", "application-insights"])
@pytest.mark.parametrize("stranger", ["slow"], indirect=True)
async def test_counts_that_come_slowly_are_not_there_yet_and_then_count(name: str, stranger: Stranger) -> None:
    clock = Hand(NOON + timedelta(minutes=10))
    source, rollout = pulled_from(stranger, name, clock)
    first = judged(rollout, list(await source.measure(rollout, Window(NOON, clock.time))), clock)
    assert (first.verdict, first.because) == (Verdict.NO_DATA, f"{NO_DATA[1]} ({name})")
    stranger.over.set()
    # The counts are those of a window long past by now, which is what their age is told by.
    then = await settled(source, rollout, clock, lambda seen: seen.gates[0].canary_value is not None)
    assert (then.verdict, then.gates[0].canary_value) == (Verdict.INSUFFICIENT, 0)
    await source.close()


PROMPT = Prompt("hours", "When?", Expectation(max_time=timedelta(milliseconds=50)))
SAID = '{"object": "response", "status": "completed", "output": [{"content": [{"text": "at 9"}]}]}'
LATE = Answer(200, SAID, timedelta(seconds=9))
WRONG = Answer(200, '{"object": "response", "status": "failed"}', timedelta(milliseconds=5))


@pytest.mark.parametrize(
    ("answer", "verdict", "because"),
    [
        (None, Verdict.FAIL, "no answer within 0.05 s"),
        (LATE, Verdict.FAIL, "slower than 0.05 s"),
        (WRONG, Verdict.FAIL, "response failed"),
        (refused(None), *unread("probe", "sessions.create: no answer")),
        (refused(403), *unread("probe", "sessions.create: HTTP 403")),
    ],
    ids=["silent", "slow", "lying", "dead", "refusing"],
)
async def test_what_the_canary_does_to_the_probe_is_harm_and_what_happens_to_us_is_not(
    answer: Answer | None, verdict: Verdict, because: str
) -> None:
    cloud, clock = HandMadeSessions(), Hand()
    if isinstance(answer, Answer):
        cloud.answers["2"] = [answer]
    elif answer is not None:
        cloud.openings["2"] = [answer]
    else:
        cloud.is_mute = {"2"}
    source = ProbeSource(cloud, clock.now, timings=ProbeTimings(network_grace=timedelta(0)))
    rollout = a_watched(probe=a_quick_probe(prompts=(PROMPT,)), logs=None)
    clock.on(1)
    async with asyncio.timeout(PATIENCE):
        while True:
            measured = list(await source.measure(rollout, Window(NOON, NOON + timedelta(hours=1))))
            analysis = judged(rollout, measured, clock)
            if analysis.verdict not in {Verdict.NO_DATA, Verdict.INSUFFICIENT}:
                break
            await asyncio.sleep(0.005)
    assert analysis.verdict is verdict
    assert because in analysis.because
    await source.close()


@pytest.mark.parametrize(
    ("trouble", "verdict", "because"),
    [
        ("silent", *NO_DATA),
        ("slow", *unread("logs", "no answer within 0.02 s")),
        ("dead", *unread("logs", "sessions.create: no answer")),
        ("future", Verdict.INSUFFICIENT, "canary 0 of 1 failed"),
        ("lying", Verdict.INSUFFICIENT, "canary 0 of 1 failed"),
    ],
)
async def test_logs_in_trouble(trouble: str, verdict: Verdict, because: str) -> None:
    cloud, clock = HandMadeSessions(), Hand(NOON + timedelta(seconds=1))
    cloud.live.append(a_session("two", "2"))
    done = "Inbound POST /responses completed with status 200 in"
    at = NOON + timedelta(days=365 if trouble == "future" else 0, seconds=1)
    if trouble in {"future", "lying"}:
        cloud.lines["two"] = [LogLine(at, "stderr", f"{done} {'9' * 400}ms")]
    cloud.trouble = refused(None) if trouble == "dead" else None
    cloud.is_silent = trouble == "slow"
    limit = timedelta(seconds=0.02 if trouble == "slow" else PATIENCE)
    timings = LogTimings(list_every=timedelta(milliseconds=2), list_limit=limit)
    source, rollout = LogSource(cloud, clock.now, timings=timings), a_watched()
    await source.measure(rollout, Window(NOON, NOON))
    looks = 0
    async with asyncio.timeout(PATIENCE):
        while True:
            measured = list(await source.measure(rollout, Window(NOON, NOON + timedelta(seconds=2))))
            analysis = judged(rollout, measured, clock)
            looks += 1
            if analysis.verdict is verdict and (looks > 20 or verdict is not Verdict.NO_DATA):
                break
            await asyncio.sleep(0.005)
    assert because in analysis.because
    await source.close()


class Reported:
    """What callers reported: nothing, or the database is away."""

    def __init__(self, *, is_away: bool) -> None:
        self._is_away = is_away

    async def outcomes(self, which: Reports) -> list[Outcome]:
        if self._is_away:
            raise StoreError("the database is away")
        return []

    async def old_sessions(self, agent: str, sessions: Sequence[str], since: datetime) -> list[str]:
        return []


@pytest.mark.parametrize(
    ("is_away", "verdict", "because"),
    [(False, *NO_DATA), (True, *unread("outcomes", "the database is away"))],
    ids=["silent", "dead"],
)
async def test_outcomes_in_trouble(is_away: bool, verdict: Verdict, because: str) -> None:
    source, clock = OutcomeSource(Reported(is_away=is_away)), Hand(NOON + timedelta(seconds=10))
    rollout = a_watched(logs=None, outcomes=OutcomesConfig())
    analysis = judged(rollout, list(await source.measure(rollout, Window(NOON, clock.time))), clock)
    assert (analysis.verdict, analysis.because.startswith(because)) == (verdict, True)
