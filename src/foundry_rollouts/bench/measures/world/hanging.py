"""Calls that hang, so that their failures are known late (10.7)."""

from dataclasses import replace

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats
from foundry_rollouts.bench.measures.world.trial import ALL, NAME, Part, Row, Trial, runs_of
from foundry_rollouts.bench.report import Goal, Options, percent
from foundry_rollouts.bench.world.automatic import automatic_steps
from foundry_rollouts.bench.world.judge import Late
from foundry_rollouts.bench.world.laws import HOUR, MINUTE, NONE, Laws, Plan
from foundry_rollouts.bench.world.scene import Moment, Scene, Seen, lead

BASE, HANGS, TICK = 0.01, 0.2, 10.0
AUTO = Plan(steps=automatic_steps(), blast_radius=20.0)
MOST_FAILURES = 60.0


class Hanging:
    """Users' calls, a fifth of which hang on the canary and then fail; one that ends is counted.

    ``knows_starts`` tells each with the interval in which it began, and leaves those of an earlier step out.
    """

    def __init__(
        self, runs: int, traffic: float, hang: float, dice: np.random.Generator, *, knows_starts: bool
    ) -> None:
        self._traffic, self._dice, self._knows_starts = traffic, dice, knows_starts
        self._ticks = round(hang / TICK)
        self._hung = np.zeros((runs, self._ticks + 1), dtype=np.int64)  # Those that began last first.
        self.failures = np.zeros(runs)

    def counts(self, moment: Moment) -> tuple[Counts, Late]:
        at, dice = moment.at, self._dice
        calls = dice.poisson(self._traffic * TICK, size=len(at))
        canary = dice.binomial(calls, moment.weight / 100)
        hung, stable = dice.binomial(canary, HANGS), calls - canary
        self._hung[at, 1:] = self._hung[at, :-1]
        self._hung[at, 0] = hung
        self.failures[at] += hung
        now = Counts(canary - hung, dice.binomial(canary - hung, BASE), stable, dice.binomial(stable, BASE))
        return self._told(moment, now)

    def _told(self, moment: Moment, now: Counts) -> tuple[Counts, Late]:
        ended = self._hung[moment.at, self._ticks]
        nothing = np.zeros_like(ended)
        if not self._knows_starts:
            return now + Counts(ended, ended, nothing, nothing), ()
        ended = np.where(moment.since_step >= self._ticks * TICK, ended, 0)
        return now, [(self._ticks, Counts(ended, ended, nothing, nothing))]


def hanging(options: Options) -> Part:
    """10.7: automatic weights, a fifth of the canary's calls hang for a minute, or for five."""
    part = Part()
    for hang, laws in ((MINUTE, ALL), (5 * MINUTE, ALL), (5 * MINUTE, Laws(settle=5 * MINUTE))):
        for traffic in (2.0, 20.0, 200.0):
            limit = f", call-limit {laws.settle / MINUTE:g}m" if hang > MINUTE else ""
            name = f"20% of calls hang {hang:g} s{limit}, automatic weights, {traffic:g} a second"
            part += _row(options, Trial("10.7", name, Scene(traffic, _calm), AUTO.under(laws), effect="20% hang"), hang)
    return part


def _row(options: Options, trial: Trial, hang: float) -> Part:
    unaware = replace(ALL, settle=0.0, knows_starts=False)
    seen = {
        "all": _led(options, trial, trial.plan, hang),
        "without 10.7": _led(options, trial, AUTO.under(unaware), hang),
        "none": _led(options, trial, AUTO.under(NONE), hang),
    }
    results = [trial.result(rules, each) for rules, each in seen.items()]
    said = {rules: _said(each) for rules, each in seen.items()}
    row = Row(trial.law, trial.name, "failures of users", said["without 10.7"], said["all"], said["none"])
    harm = float(seen["all"].harm.mean())
    goals = [Goal(f"10.7: failures, {trial.name}", "<= 60", f"{harm:.0f}", harm <= MOST_FAILURES)]
    options.progress(f"{trial.law} {trial.name}", 1.0)
    return Part([row], results, goals if hang <= MINUTE else [])


def _led(options: Options, trial: Trial, plan: Plan, hang: float) -> Seen:
    dice = options.dice(NAME, trial.law, trial.name)
    knows = plan.laws.knows_starts
    runs = options.runs if knows and hang <= MINUTE else runs_of("without 10.7", options)
    users = Hanging(runs, trial.scene.traffic, hang, dice.spawn(1)[0], knows_starts=knows)
    scene = replace(trial.scene, users=users.counts, is_late=knows, until=HOUR)
    return replace(lead(scene, plan, runs, dice), harm=users.failures)


def _said(seen: Seen) -> str:
    through = float(seen.is_promoted.mean())
    promoted = f", {percent(through)} get all traffic" if through else ""
    return f"{seen.harm.mean():.0f}{promoted}"


def _calm(moment: Moment) -> tuple[Floats, Floats]:
    return moment.everywhere(BASE), moment.everywhere(BASE)
