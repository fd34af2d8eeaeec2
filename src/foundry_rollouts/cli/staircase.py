"""A staircase of weights over time, drawn with characters."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate

from foundry_rollouts.core.forecast.words import span_words

WIDTH = 60  #: Characters of the time line.
LEAST = 2  #: Characters of a step, however short it is.


def staircase(steps: Sequence[tuple[int, timedelta | None]]) -> list[str]:
    """Return the lines of the drawing; a step without an end (None) is drawn with question marks, and is the last."""
    ends = [place for place, (_, lasts) in enumerate(steps) if lasts is None]
    drawn = steps[: ends[0] + 1] if ends else steps
    widths = _widths([lasts for _, lasts in drawn])
    starts = [0, *accumulate(widths)]
    rows = [
        f"{weight:>3}% │{' ' * start}{('?' if lasts is None else '█') * width}"
        for (weight, lasts), start, width in zip(drawn, starts, widths, strict=False)
    ]
    return [*reversed(rows), f"     └{'─' * starts[-1]}", f"      {_marks(drawn, starts)}".rstrip()]


def _widths(spans: Sequence[timedelta | None]) -> list[int]:
    known = [span.total_seconds() for span in spans if span is not None]
    whole = sum(known) or 1.0
    # Where nobody knows how long it lasts, a quarter of the line says so.
    room = WIDTH * 3 // 4 if None in spans else WIDTH
    return [WIDTH - room if span is None else max(LEAST, round(room * span.total_seconds() / whole)) for span in spans]


def _marks(drawn: Sequence[tuple[int, timedelta | None]], starts: Sequence[int]) -> str:
    """Return the times under the line; one that has no room is left out."""
    line, gone = "0", timedelta(0)
    for (_, lasts), end in zip(drawn, starts[1:], strict=True):
        if lasts is None:
            break
        gone += lasts
        text = span_words(gone)
        at = end - len(text)
        if at > len(line):
            line = line.ljust(at) + text
    return line
