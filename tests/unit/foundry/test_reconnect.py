"""A log is followed over as many streams as it takes, and no line is told twice."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry_rollouts.core.model.backoff import Backoff
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.foundry.reconnect import Reconnecting, follow
from foundry_rollouts.ports import LogLine

AT_ONCE = Reconnecting(Backoff(timedelta(0), timedelta(0)), failures=3)
START = datetime(2026, 1, 1, tzinfo=UTC)


def line(second: int, text: str = "x", stream: str = "stdout") -> LogLine:
    return LogLine(START + timedelta(seconds=second), stream, text)


def broken(status: int | None = None) -> CloudError:
    return CloudError("logs.stream", Refusal(status, None, "no"))


class Streams:
    """Gives one prepared stream after the other; an error in it breaks it. At last the session is gone."""

    def __init__(self, *streams: list[LogLine | CloudError]) -> None:
        self._streams = list(streams)
        self.opened = 0

    async def __call__(self) -> AsyncGenerator[LogLine, None]:
        self.opened += 1
        for item in self._streams.pop(0) if self._streams else []:
            if isinstance(item, CloudError):
                raise item
            yield item


async def told(streams: Streams) -> list[LogLine]:
    return [seen async for seen in follow(streams, AT_ONCE)]


async def test_a_stream_that_ends_is_opened_again_until_the_session_is_gone() -> None:
    streams = Streams([line(1)], [line(2)])
    assert await told(streams) == [line(1), line(2)]
    assert streams.opened == 3


async def test_lines_that_are_told_again_are_dropped_and_new_ones_kept() -> None:
    again = Streams([line(1), line(2)], [line(1), line(2), line(3)], [line(2), line(3), line(4)])
    assert await told(again) == [line(1), line(2), line(3), line(4)]


async def test_equal_lines_of_one_stream_are_all_kept() -> None:
    assert await told(Streams([line(1), line(1)], [line(1), line(1), line(1)])) == [line(1)] * 3


async def test_a_late_line_of_the_other_stream_is_kept() -> None:
    assert await told(Streams([line(2)], [line(1, stream="stderr")])) == [line(2), line(1, stream="stderr")]


async def test_lines_without_a_time_cannot_be_compared_and_are_kept() -> None:
    bare = LogLine(None, "stdout", "x")
    assert await told(Streams([bare], [bare])) == [bare, bare]


@pytest.mark.parametrize("status", [None, 429, 500, 503, 404])
async def test_a_log_that_cannot_be_opened_yet_is_tried_again(status: int | None) -> None:
    assert await told(Streams([broken(status)], [broken(status)], [line(1)])) == [line(1)]


async def test_a_stream_that_breaks_is_opened_again() -> None:
    assert await told(Streams([line(1), broken()], [line(1), line(2)])) == [line(1), line(2)]


async def test_a_session_that_is_missing_after_its_first_lines_is_gone() -> None:
    assert await told(Streams([line(1)], [broken(404)], [line(2)])) == [line(1)]


@pytest.mark.parametrize(("status", "opened"), [(403, 1), (400, 1), (503, 4), (404, 4)])
async def test_what_is_refused_for_good_or_too_often_is_raised(status: int, opened: int) -> None:
    refusals: list[list[LogLine | CloudError]] = [[broken(status)] for _ in range(9)]
    streams = Streams(*refusals)
    with pytest.raises(CloudError):
        await told(streams)
    assert streams.opened == opened


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=30), st.lists(st.integers(0, 30), max_size=6), st.integers(0, 8)
)
async def test_a_log_cut_anywhere_and_told_again_in_part_is_the_same_log(
    steps: list[int], cuts: list[int], overlap: int
) -> None:
    whole: list[LogLine] = []
    second = 0
    for step in steps:
        second += step // 2  # now and then two lines of one time
        whole.append(line(second, str(len(whole))))
    edges = sorted({min(cut, len(whole)) for cut in cuts} | {len(whole)})
    begins = [0, *edges[:-1]]
    parts: list[list[LogLine | CloudError]] = [
        [*whole[max(0, begin - overlap) : end]] for begin, end in zip(begins, edges, strict=True) if end > 0
    ]
    assert await told(Streams(*parts)) == whole
