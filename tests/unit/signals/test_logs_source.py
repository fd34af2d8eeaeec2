"""Following the logs of live sessions: which count, what is counted once, and what is our own trouble."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from builders import NOON
from foundry_rollouts.core.model.measurement import Window
from foundry_rollouts.core.model.sources import LogsConfig
from foundry_rollouts.ports import SessionStatus
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.logs import SKEW, LogSource
from foundry_rollouts.signals.streams import LogBudget, Streams
from unit.signals.following import BAD, GOOD, HOUR, QUICKLY, Following, counted, line
from unit.signals.session_world import (
    a_session,
    a_watched,
    refused,
    seen_by,
    until,
    until_calls,
)


async def test_calls_of_both_versions_are_counted_and_a_failure_wakes_the_rollout(following: Following) -> None:
    following.says("one", "1", line(GOOD))
    following.says("one-more", "1", line(GOOD))
    following.says("two", "2", line(GOOD))
    following.says("two-more", "2", line("ERROR agent: no"), line(BAD))
    await until_calls(following.source, a_watched(), "logs", 2)
    await following.looked()
    assert await counted(following) == {"logs": (2, 0, 2, 1), "logs/probe": (0, 0, 0, 0)}
    assert following.woken == ["r-1"]


async def test_calls_of_the_probe_are_a_stratum_of_their_own(following: Following) -> None:
    following.says("probe-r-1-x-2-1", "2", line(BAD))
    await until_calls(following.source, a_watched(), "logs/probe", 1)
    assert (await counted(following))["logs"] == (0, 0, 0, 0)


async def test_sessions_from_before_the_rollout_and_of_other_versions_are_left_alone(following: Following) -> None:
    following.says("old", "1", line(BAD), created_at=NOON - SKEW - timedelta(seconds=1))
    following.says("foreign", "7", line(BAD))
    following.says("ours", "2", line(GOOD))
    await until_calls(following.source, a_watched(), "logs", 1)
    assert following.cloud.streams == ["ours"]


async def test_only_so_many_sessions_of_each_version_are_followed(following: Following) -> None:
    for number in range(6):
        following.says(f"stable-{number}", "1", line(GOOD), created_at=NOON + timedelta(seconds=number))
    following.says("canary", "2", line(GOOD))
    rollout = a_watched(logs=LogsConfig(sessions=2))
    await until_calls(following.source, rollout, "logs", 1)
    await following.looked()
    assert await counted(following, rollout) == {"logs": (2, 0, 1, 0), "logs/probe": (0, 0, 0, 0)}


async def test_a_stream_that_is_opened_again_repeats_lines_which_count_once(following: Following) -> None:
    following.says("two", "2", line(GOOD, 1), line(BAD, 1.5))
    following.cloud.breaks["two"] = refused(500)
    await seen_by(following.source, a_watched())

    async def often() -> bool:
        return following.cloud.streams.count("two") >= 4

    await until(often)
    assert following.calls() == {"2": (2, 1)}
    following.cloud.lines["two"].append(line(GOOD, 2))
    await following.has_read(3)


async def test_lines_of_one_instant_on_both_sides_of_a_broken_stream_count_once_each(following: Following) -> None:
    following.says("two", "2", line(BAD, 1), line(GOOD, 2))
    following.cloud.breaks["two"] = refused(500)
    await following.has_read(2)
    following.cloud.lines["two"] += [line(BAD, 2), line(BAD, 2), line(GOOD, 2)]
    await following.has_read(5)
    await following.looked(4)
    assert following.calls() == {"2": (5, 3)}


async def test_a_late_line_of_the_other_stream_counts(following: Following) -> None:
    following.says("two", "2", line(GOOD, 2))
    following.cloud.breaks["two"] = refused(500)
    await until_calls(following.source, a_watched(), "logs", 1)
    following.cloud.lines["two"].append(line(BAD, 1, stream="stdout"))
    await following.has_read(2)
    assert following.calls() == {"2": (2, 1)}


async def test_a_line_from_the_future_does_not_make_us_deaf(following: Following) -> None:
    following.says("two", "2", line(GOOD, 86_400 * 365))
    following.cloud.breaks["two"] = refused(500)
    await until_calls(following.source, a_watched(), "logs", 1)
    following.clock.on(60)
    following.cloud.lines["two"] = [line(GOOD, 30)]
    await following.has_read(2)


async def test_a_call_that_a_stream_cut_in_two_keeps_its_error(following: Following) -> None:
    following.says("two", "2", line("ERROR agent: no", 1))
    following.cloud.breaks["two"] = refused(None)
    await seen_by(following.source, a_watched())
    await following.looked(4)
    assert (await counted(following))["logs"][2] == 0
    following.cloud.lines["two"].append(line(GOOD, 2))
    await until_calls(following.source, a_watched(), "logs", 1)
    seen = (await seen_by(following.source, a_watched()))["logs"].canary
    assert (seen.calls, seen.failures, seen.log_errors) == (1, 0, 1)


async def test_a_session_that_died_on_an_error_counts_once_and_is_forgotten(following: Following) -> None:
    following.says("two", "2", line("Traceback (most recent call last):", 1))
    following.cloud.breaks["two"] = refused(404)
    await seen_by(following.source, a_watched())
    await following.looked()
    following.cloud.live[0] = replace(following.cloud.live[0], status=SessionStatus.FAILED)
    _, canary = await until_calls(following.source, a_watched(), "logs", 1)
    assert canary.causes == (("session ended on an error", 1),)
    await following.looked()
    assert (await counted(following))["logs"] == (0, 0, 1, 1)
    assert following.source._watches["r-1"].followed == {}


async def test_a_session_that_failed_between_two_looks_counts_once_on_either_version(following: Following) -> None:
    await seen_by(following.source, a_watched())
    await following.looked()
    for session, version in (("one", "1"), ("two", "2")):
        following.cloud.live.append(a_session(session, version, status=SessionStatus.FAILED, created_at=NOON))
    stable, canary = await until_calls(following.source, a_watched(), "logs", 1)
    assert stable.causes == canary.causes == (("session failed", 1),)
    await following.looked(3)
    assert await counted(following) == {"logs": (1, 1, 1, 1), "logs/probe": (0, 0, 0, 0)}
    assert following.woken == ["r-1"]
    assert following.cloud.streams == []


async def test_a_failed_session_that_an_earlier_process_saw_does_not_count_again(following: Following) -> None:
    following.cloud.live.append(a_session("two", "2", status=SessionStatus.FAILED, created_at=NOON))
    following.says("new", "2", line(GOOD, 30))
    window = Window(NOON + timedelta(seconds=20), NOON + timedelta(hours=1))
    following.clock.on(60)
    await following.source.measure(a_watched(), window)
    await following.looked()
    assert (await following.source.measure(a_watched(), window))[0].canary.failures == 0


async def test_of_very_many_sessions_the_old_ones_are_looked_at_less_often(following: Following) -> None:
    following.timed(page=5)
    for number in range(20):
        following.says(f"old-{number:02}", "2", line(GOOD), created_at=NOON + timedelta(seconds=number))
    rollout = a_watched(logs=LogsConfig(sessions=1000))
    following.clock.on(100)
    await until_calls(following.source, rollout, "logs", 20)
    following.cloud.told = 0
    following.says("new", "2", line(GOOD), created_at=following.clock.time)
    listings = following.cloud.listings
    await until_calls(following.source, rollout, "logs", 21)
    await following.looked(10)
    assert following.cloud.told < 12 * (following.cloud.listings - listings)
    following.cloud.live = [session for session in following.cloud.live if session.id == "new"]
    following.cloud.breaks = {f"old-{number:02}": refused(404) for number in range(20)}
    for task in following.source._watches["r-1"].tasks[1:]:
        task.cancel()

    async def one_left() -> bool:
        return following.source._watches["r-1"].followed.keys() == {"new"}

    await until(one_left)


async def test_streams_beyond_the_budget_of_requests_wait_for_their_turn(following: Following) -> None:
    requests = RateLimiter(following.clock.now, per_second=20, burst=1)
    budget = LogBudget(requests, Streams(following.clock.now))
    following.source = LogSource(following.cloud, following.clock.now, budget=budget, timings=QUICKLY)
    for number in range(4):
        following.says(f"two-{number}", "2", line(GOOD))
    begun = asyncio.get_running_loop().time()
    await until_calls(following.source, a_watched(), "logs", 4)
    # One listing and four streams: the first two requests wait for nothing, the last for three others.
    assert asyncio.get_running_loop().time() - begun >= 0.14


async def test_a_thousand_sessions_that_ended_leave_nothing_behind(following: Following) -> None:
    for number in range(1000):
        following.says(f"s-{number}", "2", line(GOOD))
        following.cloud.breaks[f"s-{number}"] = refused(404)
    rollout = a_watched(logs=LogsConfig(sessions=1000))
    await until_calls(following.source, rollout, "logs", 1000)
    following.cloud.live.clear()

    async def nothing_left() -> bool:
        return following.source._watches["r-1"].followed == {}

    await until(nothing_left)


async def test_a_window_whose_tick_was_not_recorded_is_handed_out_again_and_a_recorded_one_is_not(
    following: Following,
) -> None:
    following.says("two", "2", line(GOOD))
    rollout = a_watched()
    await until_calls(following.source, rollout, "logs", 1)
    assert (await counted(following, rollout))["logs"][2] == 1
    later = Window(NOON + timedelta(seconds=10), NOON + timedelta(seconds=20))
    (seen, _) = await following.source.measure(rollout, later)
    assert seen.canary.calls == 0


async def test_release_ends_every_stream(following: Following) -> None:
    following.says("two", "2", line(GOOD))
    await until_calls(following.source, a_watched(), "logs", 1)
    tasks = following.source._watches["r-1"].tasks
    await following.source.release("r-1")
    assert all(task.done() for task in tasks)
    await following.source.release("r-1")


async def test_without_a_stable_version_nothing_is_followed(following: Following) -> None:
    assert await seen_by(following.source, replace(a_watched(), stable=None)) == {}


async def test_a_failure_of_stable_wakes_nobody(following: Following) -> None:
    following.says("one", "1", line("ERROR agent: no"), line(BAD))
    following.says("two", "2", line(GOOD))
    await until_calls(following.source, a_watched(), "logs", 1)
    await following.looked()
    assert (await counted(following))["logs"] == (1, 1, 1, 0)
    assert following.woken == []


HOSTED = "2026-03-02 12:00:25 INFO azure.ai.agentserver: Inbound POST /responses completed with status {} in {}ms"


async def test_a_call_counts_in_the_window_in_which_it_began_by_its_line_and_the_time_that_this_tells(
    following: Following,
) -> None:
    rollout = a_watched()
    for start in (0, 10):
        following.clock.time = NOON + timedelta(seconds=start + 10)
        await following.source.measure(rollout, Window(NOON + timedelta(seconds=start), following.clock.time))
    following.clock.on(5)
    following.says("hung", "2", line(HOSTED.format(500, 20_000), 25))
    following.says("quick", "2", line(HOSTED.format(200, 3_000), 25))
    following.says("before", "2", line(HOSTED.format(500, 26_000), 25))
    following.says("ahead", "2", line(GOOD, 500))
    window = Window(NOON + timedelta(seconds=20), NOON + timedelta(seconds=30))

    async def all_read() -> bool:
        await following.source.measure(rollout, window)
        return following.calls().get("2") == (4, 2)

    await until(all_read)
    present, _, late = await following.source.measure(rollout, window)
    assert (present.canary.calls, present.canary.failures) == (2, 0)
    assert (late.window, late.canary.failures) == (Window(NOON, NOON + timedelta(seconds=10)), 1)


async def test_a_session_that_fails_again_and_again_is_one_failure(following: Following) -> None:
    following.says("two", "2", *(line(BAD, second / 10) for second in range(1, 8)))
    following.says("other", "2", line(GOOD))
    await following.has_read(8)
    assert (await counted(following))["logs"] == (0, 0, 2, 1)


async def test_new_sessions_are_listed_by_their_version_also_those_that_are_not_followed(following: Following) -> None:
    rollout, begun = a_watched(logs=LogsConfig(sessions=1)), NOON + timedelta(seconds=30)
    following.clock.time = begun
    following.says("before", "2", created_at=NOON + timedelta(seconds=1))
    await following.source.measure(rollout, Window(NOON, NOON + timedelta(seconds=10)))
    await following.looked()
    for number in range(3):
        following.says(f"one-{number}", "1", created_at=begun)
    following.says("two", "2", created_at=begun)
    following.says("probe-r-1-x-2-1", "2", created_at=begun)
    following.says("foreign", "7", created_at=begun)
    await following.looked(4)
    (users, probes) = await following.source.measure(rollout, Window(NOON + timedelta(seconds=10), NOON + HOUR))
    assert (users.stable.new_sessions, users.canary.new_sessions) == (3, 1)
    assert (probes.stable.new_sessions, probes.canary.new_sessions) == (0, 0)


async def test_a_session_that_wakes_on_another_version_counts_for_that(following: Following) -> None:
    following.says("two", "2", line(GOOD, 1))
    following.cloud.breaks["two"] = refused(404)
    await following.has_read(1)
    following.cloud.live = [a_session("two", "1")]
    following.cloud.lines["two"].append(line(BAD, 2))

    async def read() -> bool:
        return following.calls() == {"2": (1, 0), "1": (1, 1)}

    await until(read)
