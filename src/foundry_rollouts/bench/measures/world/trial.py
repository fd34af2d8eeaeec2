"""One row of the table: what happens, and what comes of it with and without the rule that answers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.report import Goal, Options, Result, number, percent, rare
from foundry_rollouts.bench.world.laws import NONE, Laws, Plan
from foundry_rollouts.bench.world.scene import Scene, Seen, lead

NAME = "world"
ALL_RULES = "all"
ALL = Laws()


@dataclass(frozen=True, slots=True)
class Row:
    """What stands in the table."""

    law: str
    scene: str
    figure: str
    without: str
    cured: str
    before: str = "-"


@dataclass(slots=True)
class Part:
    """What one rule of section 10 adds to the report."""

    rows: list[Row] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def __iadd__(self, other: "Part") -> "Part":
        self.rows += other.rows
        self.results += other.results
        self.goals += other.goals
        return self


@dataclass(frozen=True, slots=True)
class Trial:
    """A scene under a policy, judged with all rules, without one of them, and by none."""

    law: str
    name: str
    scene: Scene
    plan: Plan = field(default_factory=Plan)
    without: Laws = ALL
    effect: str = "equal"
    rate: float = 0.01  #: What stable fails at in calm times.

    def plans(self) -> dict[str, Plan]:
        return {
            ALL_RULES: self.plan,
            f"without {self.law}": self.plan.under(self.without),
            "none": self.plan.under(NONE),
        }

    def run(self, options: Options, only: Sequence[str] = ()) -> tuple[dict[str, Seen], list[Result]]:
        """Return what came of it under each set of rules, by its name."""
        seen = {}
        for rules, plan in self.plans().items():
            if only and rules not in only:
                continue
            dice = options.dice(NAME, self.law, self.name)
            seen[rules] = lead(self.scene, plan, runs_of(rules, options), dice)
        results = [self.result(rules, each) for rules, each in seen.items()]
        options.progress(f"{self.law} {self.name}", 1.0)
        return seen, results

    def result(self, rules: str, seen: Seen) -> Result:
        runs = len(seen.ended_at)
        back, rose = int(seen.is_rolled_back.sum()), int(seen.rose.sum())
        watched = self.scene.watches is not None
        minutes = seen.minutes
        return Result(
            NAME, f"{self.law}: {rules}", self.scene.traffic, self.rate, self.effect, self.name, "exact", runs,
            rolled_back=back / runs,
            rolled_back_at_most=upper_bound(back, runs),
            all_traffic=float(seen.is_promoted.mean()),
            seconds_to_all_traffic=60 * minutes if np.isfinite(minutes) else None,
            harm=float(seen.harm.mean()),
            rose=rose / runs if watched else None,
            rose_at_most=upper_bound(rose, runs) if watched else None,
        )  # fmt: skip


def runs_of(rules: str, options: Options) -> int:
    """Return how many runs are led: what a rule is measured against needs a fifth of them, as it is coarse."""
    return options.runs if rules == ALL_RULES else max(1, options.runs // 5)


def harmless(trial: Trial, options: Options) -> Part:
    """Return the row of a release that is as good as stable: how often it is rolled back all the same."""
    seen, results = trial.run(options)
    parts = {rules: percent(float(each.is_rolled_back.mean())) for rules, each in seen.items()}
    bound = results[0].rolled_back_at_most or 0.0
    minutes = seen[ALL_RULES].minutes
    ends = f"promoted after {number(minutes)} min" if np.isfinite(minutes) else "most wait for proof"
    cured = f"{parts[ALL_RULES]} (at most {percent(bound)}), {ends}"
    row = Row(trial.law, trial.name, "false rollbacks", parts[f"without {trial.law}"], cured, parts["none"])
    return Part([row], results, [back_goal(trial, results[0])])


def back_goal(trial: Trial, result: Result) -> Goal:
    return rare(f"{trial.law}: false rollbacks, {trial.name}", result.rollbacks, result.runs)


def compared(
    trial: Trial, options: Options, figure: str, reported: Callable[[Seen], str], only: Sequence[str] = ()
) -> tuple[Part, dict[str, Seen]]:
    """Return the row whose figure ``reported`` tells, and what was seen."""
    seen, results = trial.run(options, only)
    said = {rules: reported(each) for rules, each in seen.items()}
    row = Row(
        trial.law,
        trial.name,
        figure,
        said.get(f"without {trial.law}", "-"),
        said.get(ALL_RULES, "-"),
        said.get("none", "-"),
    )
    return Part([row], results), seen


def leaving_out(**laws: object) -> Laws:
    """Return all rules but one."""
    return replace(ALL, **laws)  # type: ignore[arg-type]
