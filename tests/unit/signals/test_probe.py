"""Our own calls in pairs: what counts, what is our own trouble, and what a version may take to warm up."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON
from foundry_rollouts.core.model.measurement import Window
from foundry_rollouts.core.model.sources import Expectation, Prompt
from foundry_rollouts.ports import Answer
from foundry_rollouts.signals.limits import FAILURES, RateLimiter
from foundry_rollouts.signals.own_sessions import PREFIX
from foundry_rollouts.signals.probe import ProbeSource
from foundry_rollouts.signals.probe_target import CALLS_PER_SESSION
from unit.signals.probing import BROKEN, Probing, a_probed
from unit.signals.session_world import (
    WELL,
    a_quick_probe,
    a_response,
    a_session,
    a_watched,
    seen_by,
    until,
    until_calls,
)


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


async def test_a_canary_that_fails_is_asked_on_and_on(probing: Probing) -> None:
    probing.cloud.answers["2"] = [BROKEN]
    _, canary = await until_calls(probing.source, a_probed(), "probe", 3 * FAILURES)
    assert canary.failures == canary.calls


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
