"""Prometheus answers 200 and not all of it: what is missing never counts as good, and harm counts all the same."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from answering import a_server, say
from builders import NOON
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import PrometheusConfig
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.polling import PollingSource, PollTimings
from foundry_rollouts.signals.prometheus import REMEDY, PrometheusCounter
from unit.signals.session_world import Hand, a_watched

PARTIAL = ["No StoreAPIs matched for this query", "rpc error: code = Unavailable"]
CANARY = '{version="2"}'


def vector(*values: str, at: float, **more: Any) -> dict[str, Any]:
    result = [{"metric": {}, "value": [at, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


@dataclass
class Lying:
    """A Prometheus on which the canary fails all of its calls, if only it said so; ``says`` overrules, by query."""

    says: dict[str, Any] = field(default_factory=dict)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = parse_qs(urlsplit((await reader.readuntil(b"\r\n\r\n")).decode().split()[1]).query)
        what, at = query["query"][0], float(query["time"][0])
        told = self.says.get(what, self.says[what.partition("{")[0]])
        if isinstance(told, list):
            told = vector(*told, at=at)
        say(writer, json.dumps(told).encode())


@pytest.fixture
async def lying() -> AsyncIterator[Lying]:
    lying = Lying({"calls": ["60"], "failed": ["0"], f"failed{CANARY}": ["60"], "cost": ["1"]})
    async with a_server(lying.answer) as lying.url:
        yield lying


def watched(lying: Lying) -> Rollout:
    calls, failed, cost = (f'{word}{{version="{{version}}"}}' for word in ("calls", "failed", "cost"))
    plan = PrometheusConfig(lying.url, calls, failed, values=(("cost", cost),))
    rollout = a_watched(logs=None, prometheus=plan)
    gates = (*rollout.policy.gates, Gate(GateKind.VALUE, ("prometheus",), bounds=Bounds("cost", max=5, windows=1)))
    return replace(rollout, policy=replace(rollout.policy, gates=gates))


async def judged(lying: Lying) -> tuple[Measurement, Analysis]:
    """Return what one window measures, and what the judge says of it."""
    clock = Hand(NOON + timedelta(seconds=45))
    timings = PollTimings(answer_within=timedelta(seconds=30))
    counter = PrometheusCounter(Fetcher(RateLimiter(clock.now), timedelta(seconds=20)))
    source = PollingSource(counter, clock.now, timings)
    rollout = watched(lying)
    try:
        (measured,) = await source.measure(rollout, Window(NOON, clock.time))
    finally:
        await source.close()
    return measured, judge(rollout, initial(rollout.policy), (measured,), clock.time)


END = (NOON + timedelta(seconds=30)).timestamp()


async def test_the_whole_answer_is_harm(lying: Lying) -> None:
    seen, analysis = await judged(lying)
    assert (seen.trouble, seen.canary.failures, analysis.verdict) == (None, 60, Verdict.FAIL)


@pytest.mark.parametrize(
    ("says", "trouble"),
    [
        (
            {"failed": vector(at=END, warnings=PARTIAL), f"failed{CANARY}": vector(at=END, warnings=PARTIAL)},
            f"answers in part only: {PARTIAL[0]} (and 1 more)",
        ),
        ({f"calls{CANARY}": vector("60", at=END, warnings=PARTIAL[:1])}, f"answers in part only: {PARTIAL[0]}"),
        ({f"calls{CANARY}": vector("60", at=END, isPartial=True)}, "answers in part only: it says isPartial"),
        (
            {f"calls{CANARY}": vector("60", at=END, infos=["PromQL info: ignored histogram in sum"])},
            "answers in part only: PromQL info: ignored histogram in sum",
        ),
        (
            {"failed": [], f"failed{CANARY}": []},
            f"the query of failures finds nothing beside 60 calls, not zero{REMEDY}",
        ),
        ({f"failed{CANARY}": []}, f"the query of failures finds nothing beside 60 calls, not zero{REMEDY}"),
        ({f"calls{CANARY}": []}, f"the query of calls finds nothing beside 60 failures{REMEDY}"),
        (
            {"failed": vector("0", at=END - 3600), f"failed{CANARY}": vector("0", at=END - 3600)},
            "tells of the past (2026-03-02T11:00:30+00:00, 3600 s before the end of the window)",
        ),
        ({f"failed{CANARY}": vector("0", at=END + 3600)}, "tells of the future (2026-03-02T13:00:30+00:00)"),
        ({f"failed{CANARY}": ["0", "60"]}, "the query of failures gives 2 series: put sum() around it"),
        ({f"failed{CANARY}": ["NaN"]}, "tells nan as the number of failures"),
        ({f"calls{CANARY}": ["1e12"]}, "tells of 1e+12 calls in 30 s: is it a time, or was a counter set back?"),
        ({f"failed{CANARY}": ["-5"]}, "tells of -5 failures: a count is never negative"),
        (
            {f"calls{CANARY}": {"status": "error", "errorType": "timeout", "error": "query timed out"}},
            "answers with an error: query timed out",
        ),
        (
            {f"calls{CANARY}": {"status": "success", "data": {"resultType": "string", "result": [END, "60"]}}},
            "the query of calls gives string: it has to give one number",
        ),
    ],
)
async def test_counts_that_are_not_whole_are_no_evidence_and_each_says_why(
    lying: Lying, says: dict[str, Any], trouble: str
) -> None:
    lying.says |= says
    seen, analysis = await judged(lying)
    assert seen.trouble is not None
    assert seen.trouble.startswith(trouble)
    assert (seen.canary.calls, seen.stable.calls, seen.window.seconds) == (0, 0, 0)
    assert analysis.verdict is Verdict.SOURCE_ERROR
    assert analysis.gates[0].because.startswith(f"error-rate: prometheus cannot be read: {trouble}")
    # The further number was good, and says so.
    assert analysis.gates[1].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("cost", "because"),
    [
        (["+Inf"], "tells inf as the number of cost"),
        (["-Inf"], "tells -inf as the number of cost"),
        (["NaN"], "tells nan as the number of cost"),
        (["1e400"], "tells inf as the number of cost"),
        (["dear"], "the answer is not Prometheus's"),
        (["1", "2"], "the query of cost gives 2 series: put sum() around it"),
        (vector("1", at=END, warnings=PARTIAL[:1]), f"answers in part only: {PARTIAL[0]}"),
        (vector("1", at=END - 3600), "tells of the past (2026-03-02T11:00:30+00:00, 3600 s"),
    ],
)
async def test_a_number_that_is_none_is_its_own_trouble_and_the_counts_beside_it_are_harm(
    lying: Lying, cost: Any, because: str
) -> None:
    lying.says[f"cost{CANARY}"] = cost
    seen, analysis = await judged(lying)
    assert (seen.trouble, seen.canary.calls, seen.canary.failures) == (None, 60, 60)
    assert analysis.verdict is Verdict.FAIL
    rate, value = analysis.gates
    assert (rate.verdict, value.verdict) == (Verdict.FAIL, Verdict.SOURCE_ERROR)
    assert value.because.startswith(f"value:cost: prometheus cannot be read: {because}")


async def test_a_mean_of_no_calls_is_not_there_yet(lying: Lying) -> None:
    lying.says |= {"calls": ["0"], f"failed{CANARY}": ["0"], "cost": ["NaN"]}
    seen, analysis = await judged(lying)
    assert (seen.trouble, seen.canary.unread) == (None, ())
    assert analysis.gates[1].verdict is Verdict.NO_DATA


async def test_stable_that_never_failed_does_not_hide_a_canary_that_does(lying: Lying) -> None:
    lying.says["failed"] = []
    _, analysis = await judged(lying)
    assert analysis.verdict is Verdict.FAIL
    assert "canary 60 of 60 failed" in analysis.because
    assert "against 0 of 60 on stable" in analysis.because
