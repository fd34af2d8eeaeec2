"""How a release starts: cold sandboxes (10.11), a bad hour in the history (10.10), and how long it takes (10.9)."""

from dataclasses import replace
from itertools import product

import numpy as np

from foundry_rollouts.bench.arrays import Floats
from foundry_rollouts.bench.measures.world.outages import failures_and_ends
from foundry_rollouts.bench.measures.world.trial import (
    ALL,
    Part,
    Row,
    Trial,
    back_goal,
    compared,
    harmless,
    leaving_out,
)
from foundry_rollouts.bench.report import Goal, Options, Result, number, percent
from foundry_rollouts.bench.world.laws import MINUTE, Plan
from foundry_rollouts.bench.world.scene import Moment, Rates, Scene, Seen
from foundry_rollouts.core.model.policy import Margin

BASE = 0.01
MOST_MINUTES = {0.05: 120.0, 0.5: 80.0, 2.0: 55.0}
LEAST_PROMOTED = 0.99
#: The default policy before: a stricter bad line, the probe every ten seconds, evidence averaged.
FORMER = Plan(bad=Margin(1.5, 0.005), probe_every=10.0)


def times(factor: float, base: float = BASE, until: float = np.inf) -> Rates:
    """Return a canary that is so many times as bad, for so long after each raise."""

    def rates(moment: Moment) -> tuple[Floats, Floats]:
        return np.where(moment.since_step < until, min(1.0, base * factor), base), moment.everywhere(base)

    return rates


def cold(options: Options) -> Part:
    """10.11: fresh sandboxes fail more in their first minute, after each raise."""
    part, without = Part(), leaving_out(warm_up=0.0)
    for factor, traffic in product((5, 10), (2.0, 20.0, 200.0)):
        scene = Scene(traffic, times(factor, until=MINUTE))
        name = f"{factor}x as bad for a minute after each raise, {traffic:g} a second"
        part += harmless(Trial("10.11", name, scene, Plan(), without), options)
    for traffic in (2.0, 20.0, 200.0):
        trial = Trial("10.11", f"dead from the start, {traffic:g} a second", Scene(traffic, times(1000)), Plan(),
                      without, effect="dead")  # fmt: skip
        part += compared(trial, options, "failures of users", failures_and_ends)[0]
    return part


def bad_hour(options: Options) -> Part:
    """10.10: stable failed 20 % when its history was written, and fails 1 % now."""
    part, without = Part(), leaving_out(forgets=False)
    for traffic in (0.5, 2.0):
        for factor, figure in ((1, "minutes to all traffic"), (5, "failures of users")):
            scene = Scene(traffic, times(factor), history=0.2)
            effect = "5x" if factor == 5 else "equal"
            trial = Trial("10.10", f"history of a bad hour, canary {effect}, {traffic:g} a second", scene, Plan(),
                          without, effect=effect)  # fmt: skip
            reported = failures_and_ends if factor == 5 else (lambda seen: f"{number(seen.minutes)} min")
            part += compared(trial, options, figure, reported)[0]
            part += _with_good_history(options, trial)
    return part


def _with_good_history(options: Options, trial: Trial) -> Part:
    """Return what is to be compared with: the same where the history is true."""
    true = replace(trial, name=f"{trial.name}, had it been good", scene=replace(trial.scene, history=BASE))
    reported = failures_and_ends if trial.effect == "5x" else (lambda seen: f"{number(seen.minutes)} min")
    return compared(true, options, "the same", reported, only=("all",))[0]


def healthy(options: Options) -> Part:
    """10.9: releases as good as stable, under the default policy."""
    part = Part()
    for traffic, base in product(MOST_MINUTES, (0.001, 0.01, 0.05)):
        scene = Scene(traffic, times(1, base), history=base)
        name = f"healthy, {traffic:g} a second, stable fails {percent(base)}"
        trial = Trial("10.9", name, scene, Plan(), ALL, rate=base)
        seen, results = trial.run(options, only=("all",))
        former = replace(trial, plan=FORMER, without=leaving_out(multiplies=False))
        before, others = former.run(options, only=("without 10.9",))
        row = Row("10.9", name, "promoted within 6 h", _promoted(before["without 10.9"]), _promoted(seen["all"]))
        part += Part([row], results + others, _goals(trial, traffic, seen["all"], results[0]))
    return part


def _promoted(seen: Seen) -> str:
    return f"{percent(float(seen.is_promoted.mean()))}, median {number(seen.minutes)} min"


def _goals(trial: Trial, traffic: float, seen: Seen, result: Result) -> list[Goal]:
    promoted, most = float(seen.is_promoted.mean()), MOST_MINUTES[traffic]
    return [
        Goal(f"10.9: promoted within 6 h, {trial.name}", ">= 99%", percent(promoted), promoted >= LEAST_PROMOTED),
        Goal(f"10.9: median, {trial.name}", f"<= {most:g} min", f"{number(seen.minutes)} min", seen.minutes <= most),
        back_goal(trial, result),
    ]
