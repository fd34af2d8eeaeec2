"""What a log repeats is known by counting, within bounds."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

from foundry_rollouts.ports import LogLine, LogMemory

START = datetime(2026, 1, 1, tzinfo=UTC)


def line(second: float, text: str = "x") -> LogLine:
    return LogLine(START + timedelta(seconds=second), "stderr", text)


async def new(memory: LogMemory, *lines: LogLine) -> list[LogLine]:
    """Return which of the lines of one stream are new."""

    async def stream() -> AsyncGenerator[LogLine, None]:
        for each in lines:
            yield each

    return [each async for each, is_new in memory.reading(stream()) if is_new]


async def test_equal_lines_of_one_instant_are_known_as_often_as_they_were_read() -> None:
    memory = LogMemory()
    assert await new(memory, line(1), line(1)) == [line(1)] * 2
    assert await new(memory, line(1), line(1), line(1)) == [line(1)]
    assert await new(memory, line(1), line(1), line(1)) == []


async def test_a_log_that_is_repeated_whole_is_known_though_its_beginning_was_forgotten() -> None:
    memory, whole = LogMemory(remembered=10), [line(second / 2, str(second)) for second in range(100)]
    assert await new(memory, *whole) == whole
    assert await new(memory, *whole, line(50)) == [line(50)]


async def test_a_wrong_clock_that_was_forgotten_makes_nobody_deaf() -> None:
    memory = LogMemory(remembered=2)
    await new(memory, line(86_400), line(1), line(2), line(3))
    assert await new(memory, line(3), line(4)) == [line(4)]
