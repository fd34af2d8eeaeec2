"""Logs that cannot be read: what is said of them, and what goes on all the same."""

import asyncio
from datetime import timedelta

import pytest

from foundry_rollouts.signals.limits import FAILURES
from unit.signals.following import GOOD, Following, line
from unit.signals.session_world import (
    a_watched,
    refused,
    seen_by,
    until_calls,
)


async def test_streams_that_are_refused_are_told_until_they_can_be_read_and_left_alone_meanwhile(
    following: Following,
) -> None:
    following.says("two", "2")
    following.cloud.breaks["two"] = refused(403)
    rollout = a_watched()
    await seen_by(following.source, rollout)
    await following.looked(20)
    assert (await seen_by(following.source, rollout))["logs"].trouble == str(refused(403))
    assert len(following.cloud.streams) == FAILURES
    del following.cloud.breaks["two"]
    following.cloud.lines["two"] = [line(GOOD)]
    following.clock.on(5)
    await until_calls(following.source, rollout, "logs", 1)
    assert (await seen_by(following.source, rollout))["logs"].trouble is None


async def test_a_stream_that_can_be_opened_again_and_says_nothing_is_no_trouble(following: Following) -> None:
    following.says("two", "2")
    following.cloud.breaks["two"] = refused(None)
    rollout = a_watched()
    await seen_by(following.source, rollout)
    await following.looked()
    assert (await seen_by(following.source, rollout))["logs"].trouble is not None
    del following.cloud.breaks["two"]
    following.clock.on(5)
    await following.looked(4)
    following.clock.on(6)
    assert (await seen_by(following.source, rollout))["logs"].trouble is None


async def test_a_stream_that_cannot_be_understood_is_told(following: Following) -> None:
    following.says("two", "2")
    following.cloud.breaks["two"] = KeyError("timestamp")  # type: ignore[assignment]
    await seen_by(following.source, a_watched())
    await following.looked(4)
    trouble = (await seen_by(following.source, a_watched()))["logs"].trouble
    assert trouble == "a session's log cannot be read: KeyError"


async def test_a_listing_that_fails_again_and_again_is_left_alone_for_a_while(following: Following) -> None:
    following.cloud.trouble = refused(429)
    rollout = a_watched()
    await seen_by(following.source, rollout)
    await following.looked(FAILURES - 1)
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert following.cloud.listings == FAILURES
    assert (await seen_by(following.source, rollout))["logs"].trouble == str(refused(429))
    following.cloud.trouble = None
    following.clock.on(5)
    following.says("two", "2", line(GOOD))
    await until_calls(following.source, rollout, "logs", 1)
    assert (await seen_by(following.source, rollout))["logs"].trouble is None


async def test_a_cloud_that_lists_too_slowly_is_silent(following: Following) -> None:
    following.timed(list_limit=timedelta(milliseconds=20))
    following.cloud.is_silent = True
    await seen_by(following.source, a_watched())
    await following.looked()
    assert (await seen_by(following.source, a_watched()))["logs"].trouble == "no answer within 0.02 s"


@pytest.mark.parametrize("status", [401, 403, 429, None])
async def test_sessions_that_we_may_not_list_are_our_trouble(following: Following, status: int | None) -> None:
    following.cloud.trouble = refused(status)
    rollout = a_watched()
    await seen_by(following.source, rollout)
    await following.looked()
    seen = (await seen_by(following.source, rollout))["logs"]
    assert seen.trouble == str(refused(status))
    assert seen.canary.calls == 0


async def test_an_unforeseen_fault_is_told_and_the_source_goes_on(following: Following) -> None:
    following.cloud.trouble = ValueError("no such shape")
    rollout = a_watched()
    await seen_by(following.source, rollout)
    await following.looked()
    assert (await seen_by(following.source, rollout))["logs"].trouble == "the sessions cannot be read: ValueError"
    following.cloud.trouble = None
    following.says("two", "2", line(GOOD))
    await until_calls(following.source, rollout, "logs", 1)
    assert (await seen_by(following.source, rollout))["logs"].trouble is None
