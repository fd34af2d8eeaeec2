"""Our own calls in pairs: what counts, what is our own trouble, and what a version may take to warm up."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON
from foundry_rollouts.core.model.measurement import Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import Expectation, Prompt
from foundry_rollouts.ports import Answer, SessionSeen
from foundry_rollouts.ports.outcomes import STARTUP_BUDGET
from foundry_rollouts.signals.limits import FAILURES, RateLimiter
from foundry_rollouts.signals.own_sessions import PREFIX
from foundry_rollouts.signals.probe import ProbeSource
from foundry_rollouts.signals.probe_target import CALLS_PER_SESSION, ProbeTimings
from unit.signals.session_world import (
    WELL,
    Hand,
    HandMadeSessions,
    a_quick_probe,
    a_response,
    a_session,
    a_watched,
    refused,
    seen_by,
    until,
    until_calls,
)

BROKEN = Answer(500, "", timedelta(milliseconds=5), "server_error")
COLD = Answer(424, "", timedelta(seconds=1), "session_not_ready")


class Probing:
    """A source over hand-made sessions, and whom it woke."""

    def __init__(self) -> None:
        self.cloud = HandMadeSessions()
        self.clock = Hand()
        self.woken: list[str] = []
        self.source = ProbeSource(self.cloud, self.clock.now, self.woken.append)

    def timed(self, timings: ProbeTimings) -> None:
        self.source = ProbeSource(self.cloud, self.clock.now, self.woken.append, timings=timings)

    async def asked(self, times: int) -> None:
        async def enough() -> bool:
            return len(self.cloud.asked) >= times

        await until(enough)

    async def trouble(self, rollout: Rollout) -> str:
        """Wait for the source's trouble."""

        async def is_told() -> bool:
            return (await seen_by(self.source, rollout))["probe"].trouble is not None

        await until(is_told)
        return str((await seen_by(self.source, rollout))["probe"].trouble)


@pytest.fixture
async def probing() -> AsyncIterator[Probing]:
    probing = Probing()
    yield probing
    await probing.source.close()


def a_probed(**but: Any) -> Rollout:
    return a_watched(probe=a_quick_probe(**but), logs=None)


async def test_both_versions_are_asked_in_pairs_in_sessions_of_their_own(probing: Probing) -> None:
    stable, canary = await until_calls(probing.source, a_probed(), "probe", 3)
    assert stable.calls == canary.calls
    assert (stable.failures, canary.failures) == (0, 0)
    assert sum(count for _, count in canary.latencies) == canary.calls
    versions = [session.split("-")[-2] for session, _ in probing.cloud.asked]
    assert abs(versions.count("1") - versions.count("2")) <= 1
    assert all(session.startswith(f"{PREFIX}r-1-") for session, _ in probing.cloud.asked)
    assert probing.woken == []


async def test_a_failing_canary_is_counted_with_its_cause_and_wakes_the_rollout(probing: Probing) -> None:
    probing.cloud.answers["2"] = [BROKEN]
    stable, canary = await until_calls(probing.source, a_probed(), "probe", 2)
    assert stable.failures == 0
    assert canary.failures == canary.calls
    assert canary.causes == (("HTTP 500 server_error", canary.calls),)
    assert probing.woken[0] == "r-1"


async def test_a_wrong_answer_inside_http_200_is_a_failure(probing: Probing) -> None:
    prompt = Prompt("hours", "When?", Expectation(contains="ok"))
    probing.cloud.answers["2"] = [Answer(200, a_response("no idea"), timedelta(milliseconds=5))]
    stable, canary = await until_calls(probing.source, a_probed(prompts=(prompt,)), "probe", 2)
    assert stable.failures == 0
    assert canary.causes == (("expected text missing", canary.calls),)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, json.dumps({"error": {"code": "rate_limit_exceeded"}}), timedelta(0), "rate_limit_exceeded"),
        Answer(500, "openai.RateLimitError: Error code: 429", timedelta(0)),
        Answer(503, "You exceeded your current quota, please check your plan", timedelta(0), "server_error"),
        Answer(200, a_response(status="failed", error={"code": "insufficient_quota"}), timedelta(0)),
        Answer(200, json.dumps({"error": {"message": "Requests have exceeded token rate limit"}}), timedelta(0)),
    ],
)
async def test_a_throttled_model_is_a_cause_of_its_own(probing: Probing, answer: Answer) -> None:
    probing.cloud.answers["2"] = [answer]
    _, canary = await until_calls(probing.source, a_probed(), "probe", 1)
    assert (canary.failures, canary.rate_limited) == (canary.calls, canary.calls)
    assert canary.causes == (("model rate limit", canary.calls),)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, a_response("You exceeded your current quota of returns"), timedelta(0)),
        Answer(500, "the oven is too hot", timedelta(0)),
        Answer(404, "rate_limit_exceeded", timedelta(0)),
    ],
)
async def test_other_failures_are_no_throttled_model(probing: Probing, answer: Answer) -> None:
    prompt = Prompt("hours", "When?", Expectation(contains="never said"))
    probing.cloud.answers["2"] = [answer]
    _, canary = await until_calls(probing.source, a_probed(prompts=(prompt,)), "probe", 1)
    assert (canary.failures + canary.client_errors, canary.rate_limited) == (canary.calls, 0)


async def test_a_call_that_another_version_answered_counts_for_neither(probing: Probing) -> None:
    probing.cloud.answers["2"] = [replace(WELL, version="1")]
    rollout = a_probed()
    assert await probing.trouble(rollout) == "version 2 was asked, in a session of its own, and version 1 answered"
    await probing.asked(6)
    seen = (await seen_by(probing.source, rollout))["probe"]
    assert (seen.canary.calls, seen.stable.calls) == (0, 0)
    probing.cloud.answers["2"] = [replace(WELL, version="2")]
    await until_calls(probing.source, rollout, "probe", 1)
    assert (await seen_by(probing.source, rollout))["probe"].trouble is None


async def test_half_of_the_pairs_are_streams_and_both_sides_of_a_pair_have_one_form(probing: Probing) -> None:
    prompts = (Prompt("one", "first"), Prompt("two", "second"))
    await until_calls(probing.source, a_probed(prompts=prompts), "probe", 8)
    forms = {version: [f for s, f in probing.cloud.forms[:16] if s.split("-")[-2] == version] for version in "12"}
    assert forms["1"] == forms["2"]
    # The default is to ask twice in a row: each prompt is asked in both forms.
    assert forms["1"] == [False, True, True, False] * 2


async def test_what_invocations_stream_is_not_searched_for_words(probing: Probing) -> None:
    prompt = Prompt("tool", {"n": 1}, Expectation(contains="ok"))
    await until_calls(probing.source, a_probed(prompts=(prompt,)), "probe", 4)
    assert not any(form for _, form in probing.cloud.forms)


async def test_prompts_take_turns(probing: Probing) -> None:
    prompts = (Prompt("one", "text"), Prompt("two", "words"))
    await until_calls(probing.source, a_probed(prompts=prompts), "probe", 4)
    questions = [question for _, question in probing.cloud.asked[:8]]
    assert questions == ["text", "text", "words", "words"] * 2


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_refusal_of_our_own_call_counts_on_neither_version(probing: Probing, status: int) -> None:
    probing.cloud.answers["2"] = [Answer(status, "", timedelta(0), "denied")]
    rollout = a_probed()
    assert f"HTTP {status}" in await probing.trouble(rollout)
    await probing.asked(6)
    measurement = (await seen_by(probing.source, rollout))["probe"]
    assert (measurement.stable.calls, measurement.canary.calls) == (0, 0)


async def test_an_answer_that_cannot_be_checked_counts_on_neither_version(probing: Probing) -> None:
    elsewhere = Expectation(schema={"$ref": "http://127.0.0.1:1/schema"})
    rollout = a_probed(prompts=(Prompt("natural", "hi", elsewhere),))
    assert await probing.trouble(rollout) == (
        "prompt natural cannot be checked: a $ref leads to another document, and none is ever fetched: copy it into the"
        " schema"
    )
    measurement = (await seen_by(probing.source, rollout))["probe"]
    assert (measurement.stable.calls, measurement.canary.calls) == (0, 0)


async def test_a_lost_network_counts_on_neither_version_and_is_forgotten_when_it_is_back(probing: Probing) -> None:
    probing.cloud.openings = {"1": [refused(None)], "2": [refused(None)]}
    rollout = a_probed()
    assert "no answer" in await probing.trouble(rollout)
    probing.cloud.openings.clear()
    stable, canary = await until_calls(probing.source, rollout, "probe", 2)
    assert (stable.failures, canary.failures) == (0, 0)
    assert (await seen_by(probing.source, rollout))["probe"].trouble is None


async def test_a_cloud_that_refuses_us_again_and_again_is_left_alone_for_a_while(probing: Probing) -> None:
    probing.cloud.answers["1"] = probing.cloud.answers["2"] = [Answer(429, "", timedelta(0), "too_many_requests")]
    rollout = a_probed()
    await probing.trouble(rollout)
    await probing.asked(2 * FAILURES)

    async def rests() -> bool:
        return "; asked again in 5 s" in str((await seen_by(probing.source, rollout))["probe"].trouble)

    await until(rests)
    assert len(probing.cloud.asked) == 2 * FAILURES
    probing.cloud.answers.clear()
    probing.clock.on(5)
    _, canary = await until_calls(probing.source, rollout, "probe", 1)
    assert canary.failures == 0


async def test_a_canary_that_fails_is_asked_on_and_on(probing: Probing) -> None:
    probing.cloud.answers["2"] = [BROKEN]
    _, canary = await until_calls(probing.source, a_probed(), "probe", 3 * FAILURES)
    assert canary.failures == canary.calls


async def test_a_session_that_does_not_open_in_time_is_our_trouble(probing: Probing) -> None:
    probing.timed(ProbeTimings(opening_limit=timedelta(milliseconds=20), network_grace=timedelta(0)))

    async def never(agent: str, version: str, session: str) -> SessionSeen:
        await asyncio.Event().wait()
        raise AssertionError

    probing.cloud.open_session = never  # type: ignore[method-assign]
    assert await probing.trouble(a_probed()) == "no answer within 0.02 s"


async def test_calls_wait_for_the_budget_and_are_no_slower_for_it_and_giving_back_waits_for_nothing(
    probing: Probing,
) -> None:
    budget = RateLimiter(probing.clock.now, per_second=20, burst=2)
    probing.source = ProbeSource(probing.cloud, probing.clock.now, probing.woken.append, budget)
    begun = asyncio.get_running_loop().time()
    _, canary = await until_calls(probing.source, a_probed(), "probe", 2)
    waited = asyncio.get_running_loop().time() - begun
    # Two sessions and four calls, of which the first two requests are free.
    assert waited >= 0.19
    assert (canary.failures, WELL.latency) == (0, timedelta(milliseconds=20))
    for _ in range(1000):
        budget.spend()
    begun = asyncio.get_running_loop().time()
    await probing.source.release("r-1")
    assert asyncio.get_running_loop().time() - begun < 40  # whoever waits for the budget waits for fifty
    assert len(probing.cloud.deleted) == 2


async def test_an_unforeseen_fault_of_ours_is_told_and_the_probe_goes_on(probing: Probing) -> None:
    within = Expectation(max_time=timedelta(seconds=3))
    rollout = a_probed(prompts=(Prompt("p", "?", within),))
    probing.cloud.answers["1"] = [Answer(200, a_response(), "soon")]  # type: ignore[arg-type]
    assert await probing.trouble(rollout) == "the probe cannot ask: TypeError"
    probing.cloud.answers["1"] = [WELL]
    _, canary = await until_calls(probing.source, rollout, "probe", 1)
    assert canary.failures == 0


@pytest.mark.parametrize("status", [424, 408, 502, 504])
async def test_a_version_that_warms_up_is_not_failing_yet(probing: Probing, status: int) -> None:
    cold = Answer(status, "", timedelta(seconds=1))
    probing.cloud.answers["2"] = [cold, cold, cold, WELL]
    stable, canary = await until_calls(probing.source, a_probed(), "probe", 2)
    assert (stable.failures, canary.failures) == (0, 0)
    assert stable.calls == canary.calls


async def test_a_session_that_is_cold_when_it_is_opened_has_the_same_allowance(probing: Probing) -> None:
    probing.cloud.openings["2"] = [refused(424, "session_not_ready")]
    rollout = a_probed()
    await seen_by(probing.source, rollout)
    await probing.asked(5)
    assert (await seen_by(probing.source, rollout))["probe"].canary.calls == 0


async def test_a_version_that_is_not_warm_within_its_budget_fails(probing: Probing) -> None:
    probing.cloud.answers["2"] = [COLD]
    rollout = a_probed()
    await seen_by(probing.source, rollout)
    await probing.asked(8)
    assert (await seen_by(probing.source, rollout))["probe"].canary.calls == 0
    probing.clock.on(STARTUP_BUDGET.total_seconds() - 1)
    asked = len(probing.cloud.asked)
    await probing.asked(asked + 6)
    assert (await seen_by(probing.source, rollout))["probe"].canary.calls == 0
    probing.clock.on(1)
    stable, canary = await until_calls(probing.source, rollout, "probe", 3)
    assert canary.failures == canary.calls
    assert canary.causes[0][0] == "HTTP 424 session_not_ready"
    assert stable.failures == 0


async def test_the_budget_begins_anew_after_a_good_answer(probing: Probing) -> None:
    probing.cloud.answers["2"] = [COLD, WELL, COLD]
    rollout = a_probed()
    await seen_by(probing.source, rollout)
    await probing.asked(8)
    probing.clock.on(STARTUP_BUDGET.total_seconds() - 1)
    asked = len(probing.cloud.asked)
    await probing.asked(asked + 4)
    assert (await seen_by(probing.source, rollout))["probe"].canary.failures == 0


async def test_an_answer_that_does_not_come_in_time_is_the_versions_failure(probing: Probing) -> None:
    probing.timed(ProbeTimings(network_grace=timedelta(0)))
    prompt = Prompt("p", "?", Expectation(max_time=timedelta(milliseconds=20)))

    async def ask(agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        if session.split("-")[-2] == "2":
            await asyncio.Event().wait()
        return WELL

    probing.cloud.ask = ask  # type: ignore[method-assign]
    _, canary = await until_calls(probing.source, a_probed(prompts=(prompt,)), "probe", 1)
    assert canary.causes == (("no answer within 0.02 s", canary.calls),)


async def test_a_session_is_asked_so_often_and_then_given_back(probing: Probing) -> None:
    await until_calls(probing.source, a_probed(pairs=10), "probe", CALLS_PER_SESSION + 2)
    first = next(session for session, _ in probing.cloud.asked if session.split("-")[-2] == "2")
    assert [session for session, _ in probing.cloud.asked].count(first) == CALLS_PER_SESSION
    assert first in probing.cloud.deleted


async def test_a_failed_sandbox_is_left_for_another(probing: Probing) -> None:
    probing.cloud.answers["2"] = [Answer(404, "", timedelta(0), "session_not_accessible"), WELL]
    _, canary = await until_calls(probing.source, a_probed(), "probe", 3)
    assert canary.failures == 1
    sessions = dict.fromkeys(session for session, _ in probing.cloud.asked if session.split("-")[-2] == "2")
    assert len(sessions) >= 2


async def test_a_call_counts_in_the_window_in_which_its_pair_began(probing: Probing) -> None:
    rollout, answered = a_probed(every=timedelta(hours=1)), asyncio.Event()

    async def ask(agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        probing.cloud.asked.append((session, question))
        await answered.wait()
        return BROKEN

    probing.cloud.ask = ask  # type: ignore[method-assign]
    first, second = (Window(NOON + timedelta(seconds=at), NOON + timedelta(seconds=at + 10)) for at in (0, 10))
    probing.clock.on(1)
    assert [each.canary.calls for each in await probing.source.measure(rollout, first)] == [0]
    await probing.asked(2)
    probing.clock.on(14)
    answered.set()

    async def is_late() -> bool:
        return len(await probing.source.measure(rollout, second)) == 2

    await until(is_late)
    present, late = await probing.source.measure(rollout, second)
    assert (present.canary.calls, late.window, late.canary.failures) == (0, first, 1)


async def test_of_a_sandbox_that_fails_every_call_one_call_counts(probing: Probing) -> None:
    broken = "-2-1"  # The first sandbox of the canary.

    async def ask(agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        probing.cloud.asked.append((session, question))
        return BROKEN if session.endswith(broken) else WELL

    probing.cloud.ask = ask  # type: ignore[method-assign]
    stable, canary = await until_calls(probing.source, a_probed(), "probe", CALLS_PER_SESSION)
    assert (stable.failures, canary.failures) == (0, 1)
    assert [session for session, _ in probing.cloud.asked if session.endswith(broken)] == probing.cloud.deleted[:1]


async def test_a_canary_that_fails_every_call_leaves_no_sessions_open(probing: Probing) -> None:
    prompt = Prompt("wrong", "?", Expectation(contains="never said"))
    _, canary = await until_calls(probing.source, a_probed(prompts=(prompt,)), "probe", 8)
    assert canary.failures == canary.calls
    sessions = [session for session, _ in probing.cloud.asked]
    assert len(set(sessions)) == len(sessions)
    assert len(set(sessions) - set(probing.cloud.deleted)) <= 4  # one under way and one to be given back, of each


async def test_sessions_of_an_earlier_process_are_given_back_first_and_those_of_users_stay(probing: Probing) -> None:
    ours, users = f"{PREFIX}r-1-old-2-1", "conversation-4711"
    probing.cloud.live = [a_session(ours, "2"), a_session(users, "2"), a_session(f"{PREFIX}r-2-x-2-1", "2")]
    await until_calls(probing.source, a_probed(), "probe", 1)
    assert probing.cloud.deleted == [ours]


async def test_release_gives_every_session_back_and_asks_no_more(probing: Probing) -> None:
    await until_calls(probing.source, a_probed(), "probe", 2)
    await probing.source.release("r-1")
    assert set(probing.cloud.deleted) == {session for session, _ in probing.cloud.asked}
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("probe")]
    await probing.source.release("r-1")


async def test_what_was_seen_at_an_earlier_weight_is_left_out(probing: Probing) -> None:
    rollout = a_probed()
    await until_calls(probing.source, rollout, "probe", 2)
    await probing.source.release("r-1")
    begun = a_watched(probe=a_quick_probe(every=timedelta(hours=1)), logs=None)
    await until_calls(probing.source, begun, "probe", 1)
    later = NOON + timedelta(seconds=5)
    assert (await seen_by(probing.source, replace(begun, step_started_at=later)))["probe"].canary.calls == 0


async def test_without_a_stable_version_there_is_nothing_to_pair(probing: Probing) -> None:
    assert await seen_by(probing.source, replace(a_probed(), stable=None)) == {}
    assert await seen_by(probing.source, a_watched()) == {}
