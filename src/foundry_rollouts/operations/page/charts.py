"""The four charts of a rollout: each is a table of at most 120 points, which the browser draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.measurement import seconds_of
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.operations.page.counted import LEAST_CALLS, main_stratum, since, wilson
from foundry_rollouts.operations.page.words import NONE, limit, number, odds, percent, version
from foundry_rollouts.operations.replayed import JudgedRollout, Key, Point

ROWS = 120  #: Points of one chart at most.
#: Scales grow in these steps only, so that a chart does not jump with each point.
SCALES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)
#: Odds of a million: beyond that the curves are cut off.
HIGHEST = 6.0
TITLES = {
    GateKind.ERROR_RATE: "Failed calls",
    GateKind.LATENCY: "Slow calls",
    GateKind.LOG_ERRORS: "Calls with an error line",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One number as text and as a value; ``high`` is the upper end of a range."""

    text: str
    value: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The numbers of one instant."""

    at: datetime
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that is marked in a chart."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a source was silent, and why."""

    start: datetime
    end: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A table of points; ``kind`` says how it is drawn, ``low`` and ``high`` are the ends of the scale."""

    kind: str
    key: str
    title: str
    reading: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    low: float
    high: float
    marks: tuple[Mark, ...] = ()
    gaps: tuple[Gap, ...] = ()
    tolerance: str = ""  #: The line that must not be crossed, in words.


def charts_of(rollout: Rollout, events: Sequence[Event], judged: JudgedRollout) -> tuple[Chart, ...]:
    """Return the charts of ``rollout``; none before anything was measured."""
    if not judged.points:
        return ()
    marks = _marks(rollout, events)
    rates = [
        _rates(rollout, gate, judged, marks)
        for gate in rollout.policy.gates
        if gate.kind in {GateKind.ERROR_RATE, GateKind.LATENCY}
    ]
    return (_evidence(rollout, judged, marks), _weights(rollout, events, judged), *rates)


def _thinned(count: int) -> list[int]:
    """Return which of so many points are drawn: evenly spread, the newest always."""
    if count <= ROWS:
        return list(range(count))
    return sorted({round(i * (count - 1) / (ROWS - 1)) for i in range(ROWS)})


def _marks(rollout: Rollout, events: Sequence[Event]) -> tuple[Mark, ...]:
    words = {
        "rollout.rolled_back": "rolled back",
        "rollout.disabled": "closed",
        "rollout.promoted": "promoted",
        "rollout.paused": "paused",
        "rollout.resumed": "resumed",
    }
    marks = []
    weight = 0
    for event in events:
        now = (event.weights or {}).get(rollout.canary, weight)
        if event.kind in {"rollout.started", "rollout.advanced", "rollout.stepped_back"} and now != weight:
            marks.append(Mark(event.at, f"weight {now}"))
            weight = now
        elif word := words.get(event.kind):
            marks.append(Mark(event.at, word))
    return tuple(marks)


def _evidence(rollout: Rollout, judged: JudgedRollout, marks: tuple[Mark, ...]) -> Chart:
    points, name = judged.points, version(rollout.canary)
    rows, judge, ten = [], rollout.policy.judge, math.log(10)
    for point in (points[i] for i in _thinned(len(points))):
        safe, harm = (min(max(log / ten, 0.0), HIGHEST) for log in (point.safe, point.harm))
        rows.append(Row(point.at, (Cell(odds(point.safe), safe), Cell(odds(point.harm), harm))))
    last = points[-1]
    most_for, most_against = (max(row.cells[i].value or 0.0 for row in rows) for i in (0, 1))
    return Chart(
        kind="evidence",
        key="evidence",
        title=f"Evidence for and against {name}",
        reading=f"It advances above the upper line and rolls back below the lower one. "
        f"{'Last' if rollout.phase.is_final else 'Now'} {_said(last.safe)} for, {_said(last.harm)} against.",
        columns=(f"for {name}", f"against {name}"),
        rows=tuple(rows),
        low=-max(math.ceil(most_against), -math.log10(judge.false_rollback) + 0.5),
        high=max(math.ceil(most_for), -math.log10(judge.missed_bad) + 0.7),
        marks=marks,
        gaps=_gaps(points, set()),
        tolerance=f"{limit(judge.missed_bad)}|{limit(judge.false_rollback)}",
    )


def _said(log: float) -> str:
    found = odds(log)
    return "nothing" if found == NONE else found


def _weights(rollout: Rollout, events: Sequence[Event], judged: JudgedRollout) -> Chart:
    points, canary = judged.points, rollout.canary
    gate = next(iter(rollout.policy.gates))
    key = main_stratum(gate, points[-1]) or ("", "")
    found: list[tuple[datetime, int, str]] = []
    for i in _thinned(len(points)):
        seen = since(points, i, key)
        share = percent(seen.canary_calls / seen.calls) if seen.calls else "no calls"
        found.append((points[i].at, points[i].weight, share))
    seen_at = list(found)
    for event in events:
        if event.weights is not None:
            at_last = next((share for at, _, share in reversed(seen_at) if at <= event.at), "no calls")
            found.append((event.at, event.weights.get(canary, 0), at_last))
    found.sort(key=lambda each: each[0])
    rows = [Row(at, (Cell(str(weight), weight), Cell(share, _number(share)))) for at, weight, share in found]
    return Chart(
        kind="weights",
        key="weights",
        title=f"Weight of {version(canary)} over time",
        reading=f"Set to {found[-1][1]}. Calls follow more slowly, since open sessions stay where they began.",
        columns=("weight set", f"calls on {version(canary)}"),
        rows=tuple(rows),
        low=0,
        high=100,
    )


def _number(share: str) -> float | None:
    return float(share.split("\u202f", maxsplit=1)[0]) if share[0].isdigit() else None


def _rates(rollout: Rollout, gate: Gate, judged: JudgedRollout, marks: tuple[Mark, ...]) -> Chart:
    points = judged.points
    key = main_stratum(gate, points[-1]) or (gate.name, "")
    rows = tuple(Row(points[i].at, _rate_cells(rollout, gate, since(points, i, key))) for i in _thinned(len(points)))
    values = [cell.value for row in rows for cell in row.cells[:3] if cell.value is not None]
    canary, stable = version(rollout.canary), version(rollout.stable)
    return Chart(
        kind="rate",
        key=gate.name,
        title=TITLES[gate.kind],
        reading=_rate_reading(rollout, gate, judged, key, rows[-1]),
        columns=(stable, canary, "tolerated", f"{canary}, 95% range", f"failed on {stable}", f"on {canary}"),
        rows=rows,
        low=0,
        high=next(scale for scale in SCALES if scale >= min(1.15 * max(values, default=0.0), 1.0)),
        marks=marks,
        gaps=_gaps(points, {key[1]}),
        tolerance=tolerance_words(rollout, gate),
    )


def tolerance_words(rollout: Rollout, gate: Gate) -> str:
    """Say which line the canary must not cross: ``1.2x v41, never over 5 %``."""
    margin = rollout.policy.judge.tolerate
    points = f" + {100 * margin.points:g} points" if margin.points else ""
    ceiling = f", never over {percent(gate.max)}" if gate.max is not None else ""
    return f"{margin.ratio:g}x {version(rollout.stable)}{points}{ceiling}"


def _rate_cells(rollout: Rollout, gate: Gate, seen: Tally) -> tuple[Cell, ...]:
    stable, line = None, None
    if seen.stable_calls:
        stable = seen.stable_failures / seen.stable_calls
        tolerated = min(rollout.policy.judge.tolerate.of(stable), 1.0)
        line = tolerated if gate.max is None else min(tolerated, gate.max)
    canary = seen.canary_failures / seen.canary_calls if seen.canary_calls >= LEAST_CALLS else None
    low, high = wilson(seen.canary_failures, seen.canary_calls) if canary is not None else (None, None)
    return (
        Cell(percent(stable), stable),
        Cell("too few calls" if canary is None else percent(canary), canary),
        Cell(percent(line), line),
        Cell("" if low is None else f"{percent(low)} to {percent(high)}", low, high),
        Cell(f"{number(seen.stable_failures)} of {number(seen.stable_calls)}"),
        Cell(f"{number(seen.canary_failures)} of {number(seen.canary_calls)}"),
    )


def _rate_reading(rollout: Rollout, gate: Gate, judged: JudgedRollout, key: Key, last: Row) -> str:
    stable, canary, line, *_ = last.cells
    what = ""
    if gate.kind is GateKind.LATENCY and (edge := slow_edge(judged, key)):
        what = f"Calls slower than the median of {version(rollout.stable)}, {edge}. "
    elif gate.kind is GateKind.LATENCY:
        what = f"Still learning how fast {version(rollout.stable)} is. "
    tolerated = "" if line.value is None else f", tolerated up to {line.text}"
    return (
        f"{what}{version(rollout.canary)} {canary.text}, {version(rollout.stable)} {stable.text}{tolerated}."
        f" Each point holds the last {LEAST_CALLS} calls or more, as {key[1] or 'nobody'} saw them."
        " While the band touches the dashed line, a difference may be chance."
    )


def slow_edge(judged: JudgedRollout, key: Key) -> str | None:
    """Return above which time a call is slow, in words; None while that is not learnt yet."""
    tracks = judged.last.analysis.evidence.tracks if judged.last else ()
    edges = next((track.edges for track in tracks if (track.gate, track.stratum) == key), ())
    if not edges:
        return None
    seconds = seconds_of(edges[0])
    return f"{seconds * 1000:.0f}\u202fms" if seconds < 1 else f"{seconds:.1f}\u202fs"


def _gaps(points: Sequence[Point], sources: set[str]) -> tuple[Gap, ...]:
    """Return the times in which one of ``sources``, or any where none is named, could not count."""
    gaps: list[Gap] = []
    before: Point | None = None
    for point in points:
        heard = {source: why for source, why in point.troubles.items() if not sources or source in sources}
        if heard:
            source = min(heard)
            text = f"{source} silent"
            begin = before.at if before else point.at
            if gaps and gaps[-1].end == begin and gaps[-1].text == text:
                gaps[-1] = Gap(gaps[-1].start, point.at, text)
            else:
                gaps.append(Gap(begin, point.at, text))
        before = point
    return tuple(gaps)
