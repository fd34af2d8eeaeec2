"""The tail of the logs: the cloud is asked once however many watch, and no secret is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import pytest

from builders import NOON, a_rollout
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.operations.log_tail import FOLLOWED, KEPT, LONGEST, LogTails, LogTailView, Running, level_of
from foundry_rollouts.ports import LogLine, Sessions, SessionStatus
from unit.signals.session_world import HandMadeSessions, a_session

ROLLOUT = a_rollout()


@asynccontextmanager
async def tailing(cloud: HandMadeSessions) -> AsyncIterator[LogTails]:
    tails = LogTails(cast("Sessions", cloud), lambda: NOON)
    try:
        yield tails
    finally:
        await tails.close()


async def read(tails: LogTails, after: str | None = None) -> LogTailView:
    """Return the tail once the streams that it opened had their turn."""
    await tails.read(ROLLOUT)
    for _ in range(5):
        await asyncio.sleep(0)
    return await tails.read(ROLLOUT, after)


def a_line(text: str, second: int = 0, **but: Any) -> LogLine:
    return LogLine(NOON + timedelta(seconds=second), but.get("stream", "stdout"), text)


async def test_lines_of_both_versions_come_with_their_version_and_without_secrets() -> None:
    cloud = HandMadeSessions(
        live=[a_session("s-2", "2"), a_session("s-1", "1"), a_session("s-0", "0")],
        lines={
            "s-2": [a_line("ERROR token=abcdefgh12345678 \x1b[31mred"), a_line("y" * (LONGEST + 5), 1)],
            "s-1": [a_line("WARNING slow")],
            "s-0": [a_line("of neither version")],
        },
    )
    async with tailing(cloud) as tails:
        assert tails.running(ROLLOUT.id) is None
        tail = await read(tails)
        running = tails.running(ROLLOUT.id)
    assert sorted((line.version, line.session, line.level) for line in tail.lines) == [
        ("1", "s-1", "warning"),
        ("2", "s-2", "error"),
        ("2", "s-2", "info"),
    ]
    texts = {line.level: line.text for line in tail.lines}
    assert texts["error"] == "ERROR token=[redacted] \\x1b[31mred"
    assert texts["info"] == "y" * LONGEST + "… (5 more characters)"
    assert [(each.version, each.sessions, each.because) for each in tail.versions] == [("2", 1, None), ("1", 1, None)]
    assert running == Running({"2": 1, "1": 1, "0": 1})


async def test_many_who_watch_ask_the_cloud_once_and_continue_behind_a_line() -> None:
    cloud = HandMadeSessions(
        live=[a_session("s-2", "2")], lines={"s-2": [a_line(f"line {n}", n) for n in range(KEPT + 3)]}
    )
    async with tailing(cloud) as tails:
        first = await read(tails)
        for _ in range(3):
            await tails.read(ROLLOUT)
        rest = await tails.read(ROLLOUT, first.lines[-3].id)
        unknown = await tails.read(ROLLOUT, "another-99")
    assert (cloud.listings, cloud.streams) == (1, ["s-2"])
    assert [line.text for line in first.lines][:: KEPT - 1] == ["line 3", f"line {KEPT + 2}"]
    assert rest.lines == first.lines[-2:]
    assert unknown.lines == first.lines


async def test_only_the_newest_sessions_with_a_sandbox_are_followed() -> None:
    live = [a_session(f"s-{n}", "2", created_at=NOON + timedelta(seconds=n)) for n in range(FOLLOWED + 2)]
    idle = [a_session("idle", "2", status=SessionStatus.IDLE, created_at=NOON + timedelta(hours=1))]
    cloud = HandMadeSessions(live=[*live, *idle])
    async with tailing(cloud) as tails:
        tail = await read(tails)
    assert sorted(cloud.streams) == ["s-2", "s-3", "s-4"]
    assert tail.versions[1].because == "no session of it is live: the cloud keeps no older lines"


@pytest.mark.parametrize("where", ["listing", "stream"])
async def test_a_cloud_that_refuses_is_no_error_but_a_sentence(where: str) -> None:
    refused = CloudError("the cloud is away", Refusal(None, None, "gone"))
    cloud = HandMadeSessions(live=[a_session("s-2", "2")])
    if where == "listing":
        cloud.trouble = refused
    else:
        cloud.breaks = {"s-2": refused}
    async with tailing(cloud) as tails:
        tail = await read(tails)
    assert tail.lines == ()
    assert tail.versions[0].because is not None
    assert tail.versions[0].because.endswith("the cloud is away: no answer: gone")


async def test_without_a_cloud_there_is_nothing_to_follow() -> None:
    tail = await LogTails().read(ROLLOUT)
    assert {each.because for each in tail.versions} == {"nobody is there to ask for logs"}


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2026 ERROR x", "error"),
        ("Traceback (most recent call last):", "error"),
        ("warn: y", "warning"),
        ("no terrors here", "info"),
    ],
)
def test_a_level_is_read_off_the_words(text: str, level: str) -> None:
    assert level_of(text) == level
