"""Rollouts that share too few log streams: what is followed, what stays counted, and what is said."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from builders import NOON
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import SessionStatus
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.logs import LogSource
from foundry_rollouts.signals.streams import LogBudget, Streams
from unit.signals.following import GOOD, QUICKLY, Following, line
from unit.signals.session_world import a_watched, refused, seen_by, until

FIRST = a_watched()
SECOND = replace(FIRST, id="r-2")


class Sharing(Following):
    """A source whose rollouts share few streams; both rollouts see the same sessions."""

    def share(self, most: int, sessions: int = 4) -> None:
        self.streams = Streams(self.clock.now, most)
        budget = LogBudget(RateLimiter(self.clock.now, per_second=1e6), self.streams)
        self.source = LogSource(self.cloud, self.clock.now, self.woken.append, budget, QUICKLY)
        for version in "12":
            for number in range(sessions):
                self.says(f"{version}-{number}", version, line(GOOD))

    def followed(self, rollout: Rollout) -> dict[str, list[str]]:
        watch = self.source._watches[rollout.id]
        return {version: [each.session.id for each in watch.open_of(version)] for version in "12"}

    async def follows(self, rollout: Rollout, number: int) -> None:
        """Wait until so many sessions of either version are followed, and so many lines are read."""

        async def enough() -> bool:
            assert self.streams.open <= self.streams.most
            await seen_by(self.source, rollout)
            return all(len(sessions) == number for sessions in self.followed(rollout).values())

        await until(enough)


@pytest.fixture
async def sharing() -> AsyncIterator[Sharing]:
    sharing = Sharing()
    yield sharing
    await sharing.source.close()


async def test_streams_go_to_whoever_comes_and_what_was_counted_stays_counted_once(sharing: Sharing) -> None:
    sharing.share(8)
    await sharing.follows(FIRST, 4)
    await sharing.has_read(4)
    await seen_by(sharing.source, SECOND)
    await sharing.looked()
    sharing.clock.on(1)
    await sharing.follows(SECOND, 2)
    await sharing.follows(FIRST, 2)
    assert sharing.followed(FIRST) == {"1": ["1-0", "1-1"], "2": ["2-0", "2-1"]}
    seen = (await seen_by(sharing.source, FIRST))["logs"]
    assert (seen.stable.calls, seen.canary.calls, seen.canary.failures, seen.trouble) == (4, 4, 0, None)
    assert seen.sight == (
        "logs: at most 2 of 4 sessions of each version are followed: 8 streams are shared by 2 rollouts"
    )
    sharing.cloud.lines["2-3"].append(line(GOOD, 2))
    sharing.clock.on(5)
    await sharing.source.release(SECOND.id)
    await sharing.follows(FIRST, 4)
    await sharing.has_read(5)
    await sharing.looked(4)
    assert sharing.calls() == {"1": (4, 0), "2": (5, 0)}
    assert (await seen_by(sharing.source, FIRST))["logs"].sight is None


async def test_a_session_that_was_cut_off_on_an_error_and_then_ended_is_no_failure(sharing: Sharing) -> None:
    sharing.share(4, sessions=2)
    sharing.cloud.lines["2-1"] = [line("Traceback (most recent call last):")]
    await sharing.follows(FIRST, 2)
    await sharing.has_read(1)
    await seen_by(sharing.source, SECOND)
    sharing.clock.on(1)
    await sharing.follows(FIRST, 1)
    assert sharing.followed(FIRST)["2"] == ["2-0"]
    sharing.cloud.live = [each for each in sharing.cloud.live if each.id != "2-1"]

    async def forgotten() -> bool:
        return "2-1" not in sharing.source._watches[FIRST.id].followed

    await until(forgotten)
    assert sharing.calls()["2"] == (1, 0)
    assert sharing.woken == []


async def test_a_session_that_was_cut_off_and_then_failed_is_one_failure(sharing: Sharing) -> None:
    sharing.share(4, sessions=2)
    await sharing.follows(FIRST, 2)
    await sharing.has_read(2)
    await seen_by(sharing.source, SECOND)
    sharing.clock.on(1)
    await sharing.follows(FIRST, 1)
    sharing.cloud.live = [
        replace(each, status=SessionStatus.FAILED) if each.id == "2-1" else each for each in sharing.cloud.live
    ]
    await sharing.has_read(3)
    await sharing.looked(4)
    assert sharing.calls()["2"] == (3, 1)


async def test_who_may_follow_nothing_says_so_and_waits_while_an_earlier_step_is_seen(sharing: Sharing) -> None:
    sharing.share(2)
    sharing.cloud.lines.clear()
    late = replace(SECOND, step=2)
    await sharing.follows(late, 1)
    await seen_by(sharing.source, FIRST)
    sharing.clock.on(1)
    await sharing.follows(FIRST, 1)
    await sharing.follows(late, 0)
    seen = await seen_by(sharing.source, late)
    assert seen["logs"].trouble == "no session is followed: 2 streams are shared by 2 rollouts"
    analysis = judge(late, initial(late.policy), tuple(seen.values()), sharing.clock.time)
    assert analysis.verdict is Verdict.SOURCE_ERROR
    said = "error-rate: logs cannot be read: no session is followed: 2 streams are shared by 2 rollouts"
    assert analysis.because == analysis.waiting_for == said


async def test_a_stream_that_was_refused_and_then_given_up_for_others_is_no_trouble(sharing: Sharing) -> None:
    sharing.share(4, sessions=2)
    sharing.cloud.breaks["2-1"] = refused(500)
    await sharing.follows(FIRST, 2)
    await seen_by(sharing.source, SECOND)
    sharing.clock.on(1)

    async def given_up() -> bool:
        seen = (await seen_by(sharing.source, FIRST))["logs"]
        return seen.trouble is None and sharing.followed(FIRST) == {"1": ["1-0"], "2": ["2-0"]}

    await until(given_up)


async def test_a_session_that_begins_is_followed_at_once_where_others_share_what_is_left(sharing: Sharing) -> None:
    sharing.share(6)
    await seen_by(sharing.source, SECOND)
    sharing.clock.on(1)
    await sharing.follows(SECOND, 3)
    sharing.cloud.live.clear()
    sharing.says("new", "2", line(GOOD), created_at=NOON)
    await seen_by(sharing.source, FIRST)
    sharing.clock.on(1)

    async def followed() -> bool:
        return sharing.followed(FIRST)["2"] == ["new"]

    await until(followed)
