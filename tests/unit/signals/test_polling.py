"""Windows of counts that are asked for: whole, in order, of one step, never twice; and what servers may do to us."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from builders import NOON
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import HttpConfig, PolledConfig
from foundry_rollouts.signals.limits import RESTS, CircuitBreaker, RateLimiter
from foundry_rollouts.signals.polling import CountQuery, PollingSource, PollTimings
from foundry_rollouts.signals.reported import Found, NotWholeError, ReportedCounts, SourceError
from patience import PATIENCE
from unit.signals.session_world import Hand, a_watched

EVERY, DELAY = timedelta(seconds=30), timedelta(seconds=5)
PLAN = HttpConfig("http://127.0.0.1/{version}", "/calls", "/failures", every=EVERY, delay=DELAY)
TIMINGS = PollTimings(answer_within=timedelta(milliseconds=50))


@dataclass
class HandMadeCounter:
    """Tells what it is told to tell."""

    config: type[HttpConfig] = HttpConfig
    tells: dict[str, Any] = field(default_factory=dict)
    asked: list[CountQuery] = field(default_factory=list)
    is_slow: bool = False
    is_closed: bool = False

    async def count(self, plan: PolledConfig, asked: CountQuery) -> ReportedCounts:
        self.asked.append(asked)
        if self.is_slow:
            await asyncio.Event().wait()
        told = self.tells.get(asked.version, ReportedCounts(10, 0))
        if isinstance(told, Exception):
            raise told
        assert isinstance(told, ReportedCounts)
        return told

    async def aclose(self) -> None:
        self.is_closed = True


class Asking:
    """A source that is ticked by hand."""

    def __init__(self) -> None:
        self.counter = HandMadeCounter()
        self.clock = Hand()
        self.source = PollingSource(self.counter, self.clock.now, TIMINGS)
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
async def asking() -> AsyncIterator[Asking]:
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

    async def slow(plan: PolledConfig, asked: CountQuery) -> ReportedCounts:
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
    asking.source = PollingSource(asking.counter, asking.clock.now, TIMINGS)
    assert (await asking.until(100))[0].window.start >= counted


async def test_a_silent_server_costs_a_tick_no_time_and_is_found_later(asking: Asking) -> None:
    asking.counter.is_slow = True
    async with asyncio.timeout(PATIENCE):
        assert await asking.until(60) == []
    assert len(asking.counter.asked) == 2


async def test_a_server_in_trouble_is_told_and_what_it_missed_is_counted_later(asking: Asking) -> None:
    asking.counter.tells["2"] = SourceError("HTTP 503")
    (found,) = await asking.until(40)
    assert (found.trouble, found.canary, found.window.seconds) == ("HTTP 503", Counts(), 0)
    asking.counter.tells.clear()
    found = (await asking.until(10))[0]
    assert (found.trouble, found.window.start) == (None, NOON)


async def test_a_server_that_fails_again_and_again_is_left_alone_for_a_while(asking: Asking) -> None:
    asking.counter.tells["1"] = SourceError("cannot be reached (ConnectError)")
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
        (ReportedCounts(float("nan"), 0), "tells nan as the number of calls"),
        (ReportedCounts(10, float("inf")), "tells inf as the number of failures"),
        (ReportedCounts(-3, 0), "tells of -3 calls: a count is never negative"),
        (ReportedCounts(10, -1), "tells of -1 failures: a count is never negative"),
        (ReportedCounts(0.35, 0), "tells of 0.35 calls: a count is a whole number, is this a rate?"),
        (ReportedCounts(20, 35), "tells of 35 failures in 20 calls: is one of them a rate or a percentage?"),
        (ReportedCounts("20", 1), "tells no number of calls"),
        (ReportedCounts(True, 0), "tells no number of calls"),
        (ReportedCounts(None, None), "tells no number of calls"),
        (ReportedCounts(10**400, 0), "tells inf as the number of calls"),
        (ReportedCounts(10**12, 0), "tells of 1e+12 calls in 35 s: is it a time, or was a counter set back?"),
        (
            ReportedCounts(60, Found.NOTHING, is_estimate=True),
            "the query of failures finds nothing beside 60 calls, not zero",
        ),
        (ReportedCounts(Found.NOTHING, 5, is_estimate=True), "the query of calls finds nothing beside 5 failures"),
        (ReportedCounts(10.2, 13, is_estimate=True), "tells of 13 failures in 10.2 calls"),
    ],
)
async def test_a_lie_is_told_and_never_counted(asking: Asking, told: ReportedCounts, trouble: str) -> None:
    asking.counter.tells["2"] = told
    (found,) = await asking.until(40)
    assert found.trouble is not None
    assert found.trouble.startswith(trouble)
    assert found.canary == found.stable == Counts()


async def test_estimates_become_whole_calls_and_never_fail_more_than_all(asking: Asking) -> None:
    asking.counter.tells = {
        "1": ReportedCounts(10.4, 0.2, is_estimate=True),
        "2": ReportedCounts(10.4, 11.1, is_estimate=True),
    }
    (found,) = await asking.until(40)
    assert found.stable == Counts(calls=10)
    assert (found.canary.calls, found.canary.failures) == (10, 10)
    assert found.canary.causes == (("failed by http", 10),)


async def test_fractions_of_estimates_are_carried_from_window_to_window_and_from_step_to_step(asking: Asking) -> None:
    asking.counter.tells = {
        "1": ReportedCounts(12.37, 0.0, is_estimate=True),
        "2": ReportedCounts(2.4, 0.4, is_estimate=True),
    }
    found = await asking.until(400)
    asking.rollout = replace(asking.rollout, step=2, step_started_at=asking.clock.time)
    found += await asking.until(400)
    assert len(found) > 20
    canary, stable = [each.canary for each in found], [each.stable for each in found]
    assert sum(each.calls for each in canary) == int(2.4 * len(found) + 1e-6)
    assert sum(each.failures for each in canary) == int(0.4 * len(found) + 1e-6)
    assert sum(each.calls for each in stable) == int(12.37 * len(found) + 1e-6)
    assert all(each.failures <= each.calls for each in canary)


async def test_a_window_that_is_asked_again_carries_its_fraction_once(asking: Asking) -> None:
    asking.counter.tells = {version: ReportedCounts(1.5, 0.5, is_estimate=True) for version in ("1", "2")}
    await asking.until(30)
    first = await asking.tick(is_recorded=False)
    assert await asking.tick() == first
    second = (await asking.until(40))[0]
    assert first is not None
    assert [each.canary.calls for each in (first, second)] == [1, 2]
    assert [each.canary.failures for each in (first, second)] == [0, 1]


async def test_stable_without_any_failure_is_zero_where_the_same_query_finds_those_of_the_canary(
    asking: Asking,
) -> None:
    asking.counter.tells = {"1": ReportedCounts(60, Found.NOTHING), "2": ReportedCounts(60, 60)}
    (found,) = await asking.until(40)
    assert (found.stable.failures, found.canary.failures, found.trouble) == (0, 60, None)


async def test_a_canary_without_any_failure_is_no_zero_although_the_query_finds_those_of_stable(asking: Asking) -> None:
    asking.counter.tells = {"1": ReportedCounts(60, 3), "2": ReportedCounts(60, Found.NOTHING)}
    (found,) = await asking.until(40)
    assert found.trouble == "the query of failures finds nothing beside 60 calls, not zero"


async def test_a_number_that_cannot_be_read_takes_nothing_from_the_counts(asking: Asking) -> None:
    lies = (("cost", float("inf")), ("depth", NotWholeError("the query of depth gives 2 series")), ("size", 4))
    asking.counter.tells["2"] = ReportedCounts(60, 60, values=lies)
    (found,) = await asking.until(40)
    assert (found.trouble, found.canary.calls, found.canary.failures) == (None, 60, 60)
    assert found.canary.values == (("size", 4.0),)
    assert dict(found.canary.unread) == {
        "cost": "tells inf as the number of cost",
        "depth": "the query of depth gives 2 series",
    }


async def test_counts_that_cannot_be_read_take_nothing_from_the_numbers_whose_windows_do_not_overlap(
    asking: Asking,
) -> None:
    asking.counter.tells["2"] = ReportedCounts(-1, 0, values=(("cost", 9),))
    found = await asking.until(100)
    assert all(each.trouble == "tells of -1 calls: a count is never negative" for each in found)
    ends = [each.window.end for each in found if each.canary.values]
    assert ends
    assert all(later - earlier >= EVERY for earlier, later in pairwise(ends))


async def test_a_server_whose_answer_cannot_be_used_is_asked_again_soon_and_never_left_alone(asking: Asking) -> None:
    asking.counter.tells["2"] = NotWholeError("answers in part only")
    await asking.until(200)
    asking.counter.tells.clear()
    found = await asking.until(20)
    assert (found[0].trouble, found[0].window.start) == (None, NOON)


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
    breaker, now, rests = CircuitBreaker(), NOON, []
    for _ in range(8):
        breaker.failed("away", now)
        if breaker.open_until:
            rests.append(breaker.open_until - now)
            now = breaker.open_until
    assert rests[:3] == [RESTS.first, RESTS.first * 2, RESTS.first * 4]
    assert rests[-1] == RESTS.most
    breaker.answered()
    assert breaker.rejection(now) is None


def test_a_fault_that_meets_many_requests_at_once_is_one_fault() -> None:
    breaker = CircuitBreaker()
    for _ in range(50):
        breaker.failed("away", NOON)
    assert breaker.open_until == NOON + RESTS.first


async def test_a_wrong_query_of_one_policy_does_not_silence_the_server_for_another(asking: Asking) -> None:
    asking.counter.tells["1"] = SourceError("HTTP 400")
    await asking.until(80)
    assert asking.source._pulls["r-1"].breaker.open_until is not None
    asking.counter.tells.clear()
    other = replace(a_watched(logs=None, http=replace(PLAN, calls="/other")), id="r-2")
    window = Window(asking.measured_until - EVERY - DELAY, asking.clock.time)
    (found,) = await asking.source.measure(other, window)
    assert found.trouble is None


async def test_a_server_that_fails_for_one_agent_is_asked_on_for_another_with_the_same_policy(asking: Asking) -> None:
    asking.counter.tells["1"] = SourceError("no answer within 5 s")
    await asking.until(80)
    asking.counter.tells.clear()
    other = replace(asking.rollout, id="r-2", agent="billing-agent")
    window = Window(asking.measured_until - EVERY - DELAY, asking.clock.time)
    (found,) = await asking.source.measure(other, window)
    assert found.trouble is None


async def test_agents_that_wait_for_the_budget_take_turns() -> None:
    budget, served = RateLimiter(now=lambda: NOON, per_second=200, burst=0), []

    async def ask(who: str) -> None:
        await budget.take(who)
        served.append(who)

    budget.spend()
    await asyncio.gather(*(ask("greedy") for _ in range(20)), ask("modest"), ask("modest"))
    assert served.index("modest") <= 2
    assert [who for who in served[:5] if who == "modest"] == ["modest", "modest"]


async def test_who_gives_up_waiting_leaves_its_turn_to_the_next() -> None:
    budget = RateLimiter(now=lambda: NOON, per_second=100, burst=0)
    budget.spend()
    impatient = asyncio.create_task(budget.take("a"))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait_for(budget.take("b"), PATIENCE)


async def test_what_one_server_is_asked_takes_nothing_from_the_budget_of_another() -> None:
    budget = RateLimiter(now=lambda: NOON, per_second=0.001, burst=1)
    for server in ("one", "other"):
        await asyncio.wait_for(budget.at(server).take(), PATIENCE)
    assert budget.at("one") is budget.at("one")


async def test_who_waits_for_the_budget_is_not_late_for_it() -> None:
    budget = RateLimiter(now=lambda: NOON, per_second=20, burst=0)
    budget.spend()
    async with budget.turn(timedelta(milliseconds=30)):
        pass


async def test_requests_beyond_the_budget_wait_for_their_turn() -> None:
    budget = RateLimiter(now=lambda: NOON, per_second=100, burst=5)
    for _ in range(6):
        await asyncio.wait_for(budget.take(), 0.005)
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await budget.take()
    assert asyncio.get_running_loop().time() - began >= 0.05
