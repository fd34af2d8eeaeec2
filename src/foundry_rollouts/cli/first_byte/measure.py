"""The report: how soon the first byte comes, beside that of an answer for which nothing is read."""

import asyncio
import csv
import io
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from foundry_rollouts.bench.report import Goal, Report, Table, number
from foundry_rollouts.cli.first_byte.crowd import Crowd
from foundry_rollouts.cli.first_byte.service import Served, serving
from foundry_rollouts.cli.first_byte.timing import Answer, ask

BARE, GOAL_MS = "/healthz", 100
#: Requests of each kind before the time is taken: templates and statements are compiled once, by the first ones.
FIRST = 3
COLUMNS = ("request", "median ms", "p95 ms", "processor ms", "median over /healthz")


@dataclass(frozen=True, slots=True)
class Timing:
    """How soon the answers to one request came; milliseconds."""

    request: str
    path: str
    runs: int
    median_ms: float
    p95_ms: float
    processor_ms: float  #: Of service and client together, until the last byte; the median.
    over_bare: float  #: The median, over that of ``/healthz``.


@dataclass(frozen=True, slots=True)
class Timings(Report):
    """A report of timings in place of results of rules."""

    timings: list[Timing] = field(default_factory=list)

    def as_csv(self) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, [each.name for each in fields(Timing)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(timing) for timing in self.timings)
        return text.getvalue()

    def as_data(self) -> dict[str, Any]:
        return {"results": list(map(asdict, self.timings)), "goals": list(map(asdict, self.goals))}


def measure(crowd: Crowd, runs: int, progress: Callable[[str, float], None]) -> Timings:
    """Serve ``crowd`` and ask for each page so often."""
    timings = asyncio.run(_timed(crowd, runs, progress))
    others = f"{crowd.moving} moving, {crowd.unacknowledged} unacknowledged, {crowd.promoted} promoted"
    titled = f"First byte, {crowd.agents} agents, {others}"
    table = Table(f"{titled}, {runs} requests each, one after the other", COLUMNS, [_row(each) for each in timings])
    return Timings(tables=[table], goals=[_goal(each) for each in timings if each.path != BARE], timings=timings)


async def _timed(crowd: Crowd, runs: int, progress: Callable[[str, float], None]) -> list[Timing]:
    timings: list[Timing] = []
    with tempfile.TemporaryDirectory(prefix="foundry-rollouts-") as folder:
        async with serving(Path(folder), crowd) as served:
            paths = _paths(served)
            for request, path in paths.items():
                await ask(served.port, path, FIRST)
                answers = await ask(served.port, path, runs)
                timings.append(_timing(request, path, answers, timings[0].median_ms if timings else None))
                progress("pages", len(timings) / len(paths))
    return timings


def _paths(served: Served) -> dict[str, str]:
    return {
        "nothing read": BARE,
        "overview": "/",
        "overview, a search": "/?q=99",
        "history": "/history",
        "history, a search": "/history?words=proved",
        "one rollout": f"/rollouts/{served.rollout}",
        "agents by the API": "/api/v1/agents",
        "moving agents by the API": "/api/v1/agents?group=moving",
        "rollouts by the API": "/api/v1/rollouts",
    }


def _timing(request: str, path: str, answers: list[Answer], bare: float | None) -> Timing:
    waits = [1000 * answer.first_byte for answer in answers]
    middle = median(waits)
    return Timing(
        request,
        path,
        len(answers),
        median_ms=middle,
        p95_ms=quantiles(waits, n=20, method="inclusive")[-1],
        processor_ms=median(1000 * answer.processor for answer in answers),
        over_bare=middle / (bare or middle),
    )


def _row(timing: Timing) -> tuple[str, ...]:
    numbers = (timing.median_ms, timing.p95_ms, timing.processor_ms, timing.over_bare)
    return (f"{timing.request} ({timing.path.partition('-of-')[0]})", *map(number, numbers))


def _goal(timing: Timing) -> Goal:
    measured = f"median {number(timing.median_ms)} ms, p95 {number(timing.p95_ms)} ms"
    return Goal(f"first byte, {timing.request}", f"median < {GOAL_MS} ms", measured, timing.median_ms < GOAL_MS)
