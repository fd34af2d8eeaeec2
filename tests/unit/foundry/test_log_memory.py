"""What a log repeats is known by counting, within bounds."""

from datetime import UTC, datetime, timedelta

from foundry_rollouts.ports import LogLine, LogMemory

START = datetime(2026, 1, 1, tzinfo=UTC)


def line(second: float, text: str = "x") -> LogLine:
    return LogLine(START + timedelta(seconds=second), "stderr", text)


def new(memory: LogMemory, *lines: LogLine) -> list[LogLine]:
    """Return which of the lines of one stream are new."""
    memory.reopened()
    return [each for each in lines if memory.is_new(each)]


def test_equal_lines_of_one_instant_are_known_as_often_as_they_were_read() -> None:
    memory = LogMemory()
    assert new(memory, line(1), line(1)) == [line(1)] * 2
    assert new(memory, line(1), line(1), line(1)) == [line(1)]
    assert new(memory, line(1), line(1), line(1)) == []


def test_a_log_that_is_repeated_whole_is_known_though_its_beginning_was_forgotten() -> None:
    memory, whole = LogMemory(remembered=10), [line(second / 2, str(second)) for second in range(100)]
    assert new(memory, *whole) == whole
    assert new(memory, *whole, line(50)) == [line(50)]


def test_a_wrong_clock_that_was_forgotten_makes_nobody_deaf() -> None:
    memory = LogMemory(remembered=2)
    new(memory, line(86_400), line(1), line(2), line(3))
    assert new(memory, line(3), line(4)) == [line(4)]
