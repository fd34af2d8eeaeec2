"""Windows of counts that are asked for: whole, in order, of one step, never twice; and what servers may do to us."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from builders import NOON
from foundry_rollouts.core.measurement import Counts, Measurement, Window
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.core.sources import HttpPlan, PulledPlan
from foundry_rollouts.signals import pulled
from foundry_rollouts.signals.manners import FIRST_REST, LONGEST_REST, Breaker, Budget
from foundry_rollouts.signals.numbers import Told, TroubleError
from foundry_rollouts.signals.pulled import Asked, PulledSource
from unit.signals.session_world import Hand, a_watched

EVERY, DELAY = timedelta(seconds=30), timedelta(seconds=5)
PLAN = HttpPlan("http://127.0.0.1/{version}", "/calls", "/failures", EVERY, DELAY)


@dataclass
class HandMadeCounter:
    """Tells what it is told to tell."""

    name: str = "http"
    tells: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    is_slow: bool = False
    is_closed: bool = False

    async def count(self, plan: PulledPlan, asked: Asked) -> Told:
        self.asked.append(asked)
        if self.is_slow:
            await asyncio.Event().wait()
        told = self.tells.get(asked.version, Told(10, 0))
        if isinstance(told, Exception):
            raise told
        assert isinstance(told, Told)
        return told

    async def aclose(self) -> None:
        self.is_closed = True


class Asking:
    """A source that is ticked by hand."""

    def __init__(self) -> None:
        self.counter = HandMadeCounter()
        self.clock = Hand()
        self.source = PulledSource(self.counter, self.clock.now)
        self.rollout: Rollout = a_watched(logs=None, http=PLAN)
        self.measured_until = NOON

    async def tick(self, seconds: float = 10, *, is_recorded: bool = True) -> Measurement | None:
        """Move the clock on and measure, as a tick would."""
        self.clock.on(seconds)
        found = await self.source.measure(self.rollout, Window(self.measured_until, self.clock.time))
        if is_recorded:
            self.measured_until = self.clock.time
        return found[0] if found else None

    async def until(self, seconds: float) -> list[Measurement]:
        """Tick every ten seconds, so long."""
        ticks = [await self.tick() for _ in range(round(seconds / 10))]
        return [tick for tick in ticks if tick]


@pytest.fixture
async def asking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asking]:
    monkeypatch.setattr(pulled, "PATIENCE", timedelta(milliseconds=50))
    asking = Asking()
    yield asking
    await asking.source.close()
    assert asking.counter.is_closed


async def test_windows_follow_each_other_without_a_gap_and_end_before_now_by_the_delay(asking: Asking) -> None:
    found = await asking.until(200)
    spans = [measurement.window for measurement in found]
    assert len(spans) >= 5
    assert spans[0].start == NOON
    assert all(span.end - span.start >= EVERY for span in spans)
    assert [span.end for span in spans[:-1]] == [span.start for span in spans[1:]]
    assert spans[-1].end <= asking.clock.time - DELAY
    assert all(measurement.canary == measurement.stable == Counts(calls=10) for measurement in found)


async def test_both_versions_are_asked_for_the_same_window(asking: Asking) -> None:
    await asking.until(40)
    one, other = asking.counter.asked
    assert (one.version, other.version) == ("1", "2")
    assert one.window == other.window
    assert one.seconds in {30, 35}


async def test_nothing_reaches_across_a_change_of_weight(asking: Asking) -> None:
    await asking.until(60)
    begun = asking.clock.time + timedelta(seconds=3, milliseconds=400)
    asking.rollout = replace(asking.rollout, step=2, step_started_at=begun)
    found = await asking.until(100)
    assert found[0].window.start == (begun + timedelta(seconds=1)).replace(microsecond=0)


async def test_an_answer_that_comes_after_the_weight_changed_is_left_out(asking: Asking) -> None:
    gate = asyncio.Event()
    count = asking.counter.count

    async def slow(plan: PulledPlan, asked: Asked) -> Told:
        await gate.wait()
        return await count(plan, asked)

    asking.counter.count = slow  # type: ignore[method-assign]
    assert await asking.until(40) == []
    asking.rollout = replace(asking.rollout, step=2, step_started_at=asking.clock.time)
    gate.set()
    assert await asking.tick() is None
    found = await asking.until(60)
    assert found[0].window.start >= NOON + timedelta(seconds=40)


async def test_a_window_whose_tick_was_never_recorded_is_handed_out_again_and_not_asked_again(asking: Asking) -> None:
    await asking.until(30)
    first = await asking.tick(is_recorded=False)
    asked = len(asking.counter.asked)
    assert first is not None
    assert await asking.tick() == first
    assert len(asking.counter.asked) == asked
    assert await asking.tick(1) is None


async def test_a_new_process_begins_where_the_earlier_one_ended_at_the_latest(asking: Asking) -> None:
    counted = (await asking.until(100))[-1].window.end
    asking.source = PulledSource(asking.counter, asking.clock.now)
    assert (await asking.until(100))[0].window.start >= counted


async def test_a_silent_server_costs_a_tick_no_time_and_is_found_later(asking: Asking) -> None:
    asking.counter.is_slow = True
    async with asyncio.timeout(2):
        assert await asking.until(60) == []
    assert len(asking.counter.asked) == 2


async def test_a_server_in_trouble_is_told_and_what_it_missed_is_counted_later(asking: Asking) -> None:
    asking.counter.tells["2"] = TroubleError("HTTP 503")
    (found,) = await asking.until(40)
    assert (found.trouble, found.canary, found.window.seconds) == ("HTTP 503", Counts(), 0)
    asking.counter.tells.clear()
    found = (await asking.until(10))[0]
    assert (found.trouble, found.window.start) == (None, NOON)


async def test_a_server_that_fails_again_and_again_is_left_alone_for_a_while(asking: Asking) -> None:
    asking.counter.tells["1"] = TroubleError("cannot be reached (ConnectError)")
    await asking.until(60)
    asked = len(asking.counter.asked)
    assert asked == 6
    found = await asking.until(20)
    assert len(asking.counter.asked) == asked
    assert found[-1].trouble == "cannot be reached (ConnectError); asked again in 10 s"
    await asking.until(10)
    assert len(asking.counter.asked) == asked + 2


async def test_an_unforeseen_answer_is_told_and_the_source_goes_on(asking: Asking) -> None:
    asking.counter.tells["2"] = KeyError("calls")
    (found,) = await asking.until(40)
    assert found.trouble == "the answer cannot be read (KeyError)"
    asking.counter.tells.clear()
    assert (await asking.until(10))[0].trouble is None


@pytest.mark.parametrize(
    ("told", "trouble"),
    [
        (Told(float("nan"), 0), "tells nan as the number of calls"),
        (Told(10, float("inf")), "tells inf as the number of failures"),
        (Told(-3, 0), "tells of -3 calls: a count is never negative"),
        (Told(10, -1), "tells of -1 failures: a count is never negative"),
        (Told(0.35, 0), "tells of 0.35 calls: a count is a whole number, is this a rate?"),
        (Told(20, 35), "tells of 35 failures in 20 calls: is one of them a rate or a percentage?"),
        (Told("20", 1), "tells no number of calls"),
        (Told(True, 0), "tells no number of calls"),
        (Told(None, None), "tells no number of calls"),
        (Told(10**400, 0), "tells inf as the number of calls"),
        (Told(10, 0, datetime(2027, 1, 1, tzinfo=UTC)), "tells of the future (2027-01-01T00:00:00+00:00)"),
        (Told(10.2, 13, is_estimate=True), "tells of 13 failures in 10.2 calls"),
    ],
)
async def test_a_lie_is_told_and_never_counted(asking: Asking, told: Told, trouble: str) -> None:
    asking.counter.tells["2"] = told
    (found,) = await asking.until(40)
    assert found.trouble is not None
    assert found.trouble.startswith(trouble)
    assert found.canary == found.stable == Counts()


async def test_estimates_are_rounded_and_never_fail_more_than_all(asking: Asking) -> None:
    asking.counter.tells = {"1": Told(10.4, 0.2, is_estimate=True), "2": Told(10.4, 11.1, is_estimate=True)}
    (found,) = await asking.until(40)
    assert found.stable == Counts(calls=10)
    assert (found.canary.calls, found.canary.failures) == (10, 10)
    assert found.canary.causes == (("failed by http", 10),)


async def test_a_source_that_the_policy_does_not_name_is_not_asked(asking: Asking) -> None:
    asking.rollout = a_watched()
    assert await asking.until(100) == []
    asking.rollout = replace(a_watched(logs=None, http=PLAN), stable=None)
    assert await asking.until(100) == []
    assert asking.counter.asked == []


async def test_release_stops_asking(asking: Asking) -> None:
    asking.counter.is_slow = True
    await asking.until(40)
    await asking.source.release("r-1")
    await asking.source.release("r-1")
    assert asking.source._pulls == {}


def test_each_rest_is_twice_as_long_and_no_rest_is_longer_than_five_minutes() -> None:
    breaker, now, rests = Breaker(), NOON, []
    for _ in range(8):
        breaker.failed("away", now)
        if breaker.rests_until:
            rests.append(breaker.rests_until - now)
            now = breaker.rests_until
    assert rests[:3] == [FIRST_REST, FIRST_REST * 2, FIRST_REST * 4]
    assert rests[-1] == LONGEST_REST
    breaker.answered()
    assert breaker.refuses(now) is None


def test_a_fault_that_meets_many_requests_at_once_is_one_fault() -> None:
    breaker = Breaker()
    for _ in range(50):
        breaker.failed("away", NOON)
    assert breaker.rests_until == NOON + FIRST_REST


async def test_a_wrong_query_of_one_policy_does_not_silence_the_server_for_another(asking: Asking) -> None:
    asking.counter.tells["1"] = TroubleError("HTTP 400")
    await asking.until(80)
    assert asking.source._breakers[PLAN].rests_until is not None
    asking.counter.tells.clear()
    other = replace(a_watched(logs=None, http=replace(PLAN, calls="/other")), id="r-2")
    window = Window(asking.measured_until - EVERY - DELAY, asking.clock.time)
    (found,) = await asking.source.measure(other, window)
    assert found.trouble is None


async def test_who_waits_for_the_budget_is_not_late_for_it() -> None:
    budget = Budget(now=lambda: NOON, per_second=20, burst=0)
    budget.spend()
    async with budget.turn(timedelta(milliseconds=30)):
        pass


async def test_requests_beyond_the_budget_wait_for_their_turn() -> None:
    budget = Budget(now=lambda: NOON, per_second=100, burst=5)
    for _ in range(6):
        await asyncio.wait_for(budget.take(), 0.005)
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await budget.take()
    assert asyncio.get_running_loop().time() - began >= 0.05
