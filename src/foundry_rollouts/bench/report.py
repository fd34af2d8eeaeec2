"""What a measurement leaves behind: a result for each cell and rule, tables for people, goals met or missed."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.simulate import Outcomes, Progress
from foundry_rollouts.bench.streams import Cell, Streams

RARE = 0.01  #: What may happen so often at most, as a fraction of the runs.


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a measurement: runs of each cell, the seed, and which rules (none named: all)."""

    runs: int = 200
    seed: int = 1
    rules: tuple[str, ...] = ()
    is_scalar: bool = False  #: Ask the product's own core, run after run.
    progress: Progress = lambda _what, _part: None

    def dice(self, *names: str) -> np.random.Generator:
        """Return dice that the seed and the name of what is measured determine."""
        letters = [ord(letter) for letter in "/".join(names)]
        return np.random.default_rng([self.seed, *letters])

    def wants(self, rule: str) -> bool:
        return not self.rules or any(name.lower() in rule.lower() for name in self.rules)


@dataclass(frozen=True, slots=True)
class Result:
    """How one rule did in one cell; parts are from 0 to 1, what does not apply is None."""

    bench: str
    rule: str
    traffic: float | None  #: Calls a second; None where only calls are counted.
    stable_rate: float
    effect: str
    pattern: str
    share: str
    runs: int
    weight: int | None = None  #: Where it is fixed.
    rolled_back: float | None = None
    rolled_back_at_most: float | None = None  #: The upper bound with 95 % confidence.
    all_traffic: float | None = None  #: The part of the runs that gave the canary all traffic.
    seconds_to_rollback: float | None = None  #: Mean over the runs that went back.
    seconds_to_all_traffic: float | None = None  #: Median over all runs; None when most never came there.
    harm: float | None = None  #: Mean failures that the canary caused in the first hour.
    harm_at_rollback: float | None = None  #: The same over the runs that went back.
    called_safe: float | None = None
    called_safe_at_most: float | None = None
    ratio_to_bound: float | None = None  #: Calls needed, over what no test can beat.
    rose: float | None = None  #: The part of the runs that rose while they should have waited.
    rose_at_most: float | None = None
    sessions_until_reported: float | None = (
        None  #: New sessions until it was reported that they do not follow the weight.
    )

    @property
    def rollbacks(self) -> int:
        """So many of the runs were rolled back."""
        return round((self.rolled_back or 0.0) * self.runs)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under titles."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def as_markdown(self) -> str:
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return f"**{self.title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached, and what was measured."""

    goal: str
    wanted: str
    measured: str
    is_met: bool
    is_open: bool = False  #: Not met, and so few runs could not show more: more runs are needed.

    @property
    def verdict(self) -> str:
        if self.is_met:
            return "yes"
        return "more runs needed" if self.is_open else "NO"


def rare(goal: str, hits: int, runs: int) -> Goal:
    """Return the goal that something happens in one run of a hundred at most, and so does its upper bound of 95 %.

    Fewer than 299 runs cannot show that even where it never happens: then the goal is open, not missed.
    """
    bound = upper_bound(hits, runs)
    measured = f"{percent(hits / runs)}, at most {percent(bound)}"
    return Goal(goal, "<= 1%, its 95% bound too", measured, bound <= RARE, is_open=hits / runs <= RARE < bound)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured."""

    results: list[Result] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def __add__(self, other: "Report") -> "Report":
        return Report(self.results + other.results, self.tables + other.tables, self.goals + other.goals)

    @property
    def all_tables(self) -> list[Table]:
        """Return the tables, that of the goals last."""
        rows = [(each.goal, each.wanted, each.measured, each.verdict) for each in self.goals]
        goals = [Table("Goals", ("goal", "wanted", "measured", "met"), rows)] if rows else []
        return self.tables + goals

    def as_markdown(self) -> str:
        return "\n\n".join(table.as_markdown() for table in self.all_tables) + "\n"

    def as_csv(self) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, [each.name for each in fields(Result)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(result) for result in self.results)
        return text.getvalue()

    def as_data(self) -> dict[str, Any]:
        return {"results": list(map(asdict, self.results)), "goals": list(map(asdict, self.goals))}


def results_of(bench: str, rule: str, streams: Streams, outcomes: Outcomes) -> list[Result]:
    """Return one result for each cell."""
    return [_result(bench, rule, cell, _cut(outcomes, streams.of(place))) for place, cell in enumerate(streams.cells)]


def _cut(outcomes: Outcomes, part: slice) -> Outcomes:
    return Outcomes(outcomes.ended[part], outcomes.ended_at[part], outcomes.harm[part], outcomes.calls[part])


def _result(bench: str, rule: str, cell: Cell, seen: Outcomes) -> Result:
    back, runs = seen.is_rolled_back, len(seen.ended)
    to_all = float(np.median(np.where(seen.has_all_traffic, seen.ended_at, np.inf)))
    return Result(
        bench,
        rule,
        cell.traffic,
        cell.stable_rate,
        cell.effect,
        cell.pattern,
        cell.share,
        runs,
        rolled_back=float(back.mean()),
        rolled_back_at_most=upper_bound(int(back.sum()), runs),
        all_traffic=float(seen.has_all_traffic.mean()),
        seconds_to_rollback=float(seen.ended_at[back].mean()) if back.any() else None,
        seconds_to_all_traffic=to_all if math.isfinite(to_all) else None,
        harm=float(seen.harm.mean()),
        harm_at_rollback=float(seen.harm[back].mean()) if back.any() else None,
    )


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean; values below a hundredth count as a hundredth, infinite where there are none."""
    logs = [math.log(max(value, 0.01)) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.inf


def number(value: float | None) -> str:
    """Return a number as people read it: three digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(part: float | None) -> str:
    """Return a part as a percentage."""
    return "-" if part is None else f"{number(100 * part)}%"


def chosen(results: Sequence[Result], **wanted: object) -> list[Result]:
    """Return the results whose fields are as ``wanted``."""
    return [each for each in results if all(getattr(each, name) == value for name, value in wanted.items())]
