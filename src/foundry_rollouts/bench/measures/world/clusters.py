"""Calls that do not fail one by one: broken sandboxes of the probe (10.5), sessions of several calls (10.6)."""

from dataclasses import replace

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.measures.world.trial import ALL, NAME, Part, Row, Trial, back_goal, runs_of
from foundry_rollouts.bench.report import Options, Result, percent
from foundry_rollouts.bench.world.judge import Late
from foundry_rollouts.bench.world.laws import HOUR, NONE, Plan
from foundry_rollouts.bench.world.scene import Moment, Scene, Seen, lead

BASE = 0.01
SESSION_CALLS = 20  #: Of the probe, before it opens a new session.
BROKEN = (0.001, 0.005, 0.01, 0.02)
SIZES = (2, 5, 10)
CORRELATION, GAP, TRAFFIC = 0.5, 3.0, 20.0
POLLED = 30.0  #: Seconds between two questions to a metrics server, which knows no sessions.
USERS = Plan(probe_every=None, deadline=2 * HOUR)


class Sandboxes:
    """The probe's sessions, some of which are broken: there every call fails."""

    def __init__(self, runs: int, broken: float, dice: np.random.Generator, *, leaves: bool) -> None:
        self._broken, self._dice, self._leaves = broken, dice, leaves
        self._is_broken = dice.random((runs, 2)) < broken  # On the canary, and on stable.
        self._calls = np.zeros((runs, 2), dtype=np.int64)

    def counts(self, moment: Moment, pairs: int) -> Counts:
        at, failed = moment.at, np.zeros((len(moment.at), 2), dtype=np.int64)
        for _ in range(pairs):
            fails = self._is_broken[at] | (self._dice.random((len(at), 2)) < BASE)
            failed += fails
            self._calls[at] += 1
            self._renew(at, (self._calls[at] >= SESSION_CALLS) | (fails & self._leaves))
        calls = np.full(len(at), pairs)
        return Counts(calls, failed[:, 0], calls, failed[:, 1])

    def _renew(self, at: Ints, ends: Bools) -> None:
        self._calls[at] = np.where(ends, 0, self._calls[at])
        is_broken = self._dice.random((len(at), 2)) < self._broken
        self._is_broken[at] = np.where(ends, is_broken, self._is_broken[at])


def sandboxes(options: Options) -> Part:
    """10.5: some sandboxes of both versions are broken; the probe keeps its session, or leaves it."""
    part = Part()
    for broken in BROKEN:
        name = f"{percent(broken)} of sandboxes broken on both, 2 a second"
        seen = {
            "all": _probed(options, name, broken, Plan(), leaves=True),
            "without 10.5": _probed(options, name, broken, Plan(), leaves=False),
            "none": _probed(options, name, broken, Plan(laws=NONE), leaves=False),
        }
        part += _row(Trial("10.5", name, Scene(2.0, _calm)), options, seen)
    return part


def _probed(options: Options, name: str, broken: float, plan: Plan, *, leaves: bool) -> Seen:
    dice = options.dice(NAME, "10.5", name)
    runs = options.runs if leaves else runs_of("without 10.5", options)
    probe = Sandboxes(runs, broken, dice.spawn(1)[0], leaves=leaves)
    return lead(Scene(2.0, _calm, probe=probe.counts), plan, runs, dice)


def _row(trial: Trial, options: Options, seen: dict[str, Seen]) -> Part:
    results = [trial.result(rules, each) for rules, each in seen.items()]
    said = {rules: percent(float(each.is_rolled_back.mean())) for rules, each in seen.items()}
    cured = f"{said['all']} (at most {percent(results[0].rolled_back_at_most)})"
    row = Row(trial.law, trial.name, "false rollbacks", said[f"without {trial.law}"], cured, said.get("none", "-"))
    options.progress(f"{trial.law} {trial.name}", 1.0)
    return Part([row], results, [back_goal(trial, results[0])])


def _calm(moment: Moment) -> tuple[Floats, Floats]:
    return moment.everywhere(BASE), moment.everywhere(BASE)


class Sessions:
    """Users' sessions of ``size`` calls, one every three seconds; a session keeps its version and its chance to fail.

    ``as_units`` counts each session once an interval, and no more after it has failed.
    """

    def __init__(self, runs: int, size: int, tick: float, dice: np.random.Generator, *, as_units: bool) -> None:
        self._size, self._tick, self._dice, self._as_units = size, tick, dice, as_units
        self._ahead = int((size * GAP) // tick) + 2
        self._coming = np.zeros((self._ahead, runs, 4), dtype=np.int64)

    def counts(self, moment: Moment) -> tuple[Counts, Late]:
        """Return the calls of this interval."""
        begun = self._dice.poisson(TRAFFIC / self._size * self._tick, size=len(moment.at))
        run = np.repeat(moment.at, begun)
        is_canary = self._dice.random(len(run)) < np.repeat(moment.weight / 100, begun)
        spread = 1 / CORRELATION - 1
        chance = self._dice.beta(BASE * spread, (1 - BASE) * spread, size=len(run))
        fails = self._dice.random((len(run), self._size)) < chance[:, None]
        began = self._dice.random((len(run), 1)) * self._tick + GAP * np.arange(self._size)
        self._plan(run, is_canary, fails, (began // self._tick).astype(np.int64))
        now = self._coming[0, moment.at].copy()
        self._coming = np.roll(self._coming, -1, axis=0)
        self._coming[-1] = 0
        return Counts.of(now), ()

    def _plan(self, run: Ints, is_canary: Bools, fails: Bools, when: Ints) -> None:
        has_failed = np.zeros(len(run), dtype=np.bool_)
        for ahead in range(self._ahead):
            here = when == ahead
            calls, failed = here.sum(axis=1), (here & fails).sum(axis=1)
            if self._as_units:
                counts = (calls > 0) & ~has_failed
                calls, failed = counts.astype(np.int64), (counts & (failed > 0)).astype(np.int64)
                has_failed |= failed > 0
            for column, who in ((0, is_canary), (2, ~is_canary)):
                runs = self._coming.shape[1]
                for place, number in ((column, calls), (column + 1, failed)):
                    total = np.bincount(run[who], number[who], minlength=runs)
                    self._coming[ahead, :, place] += total.astype(np.int64)


def sessions(options: Options) -> Part:
    """10.6: calls of one session fail together."""
    part = Part()
    for size in SIZES:
        name = f"sessions of {size} calls, correlation 0.5, 20 a second"
        seen = {
            "all": _counted(options, name, size, 1.0, as_units=True),
            "without 10.6": _counted(options, name, size, 1.0, as_units=False),
            "cluster given": _counted(options, name, size, float(size), as_units=False),
            "cluster learnt": _counted(options, name, size, None, as_units=False),
        }
        trial = Trial("10.6", name, Scene(TRAFFIC, _calm))
        found = _row(trial, options, seen)
        for rules in ("cluster given", "cluster learnt"):
            found += _with_cluster(trial, rules, seen[rules])
        part += found
    return part


def _with_cluster(trial: Trial, rules: str, seen: Seen) -> Part:
    result: Result = trial.result(rules, seen)
    said = f"{percent(result.rolled_back)} (at most {percent(result.rolled_back_at_most)})"
    goal = back_goal(trial, result)
    row = Row(trial.law, f"the same, {rules}", "false rollbacks", "-", said)
    return Part([row], [], [replace(goal, goal=f"{goal.goal}, {rules}")])


def _counted(options: Options, name: str, size: int, cluster: float | None, *, as_units: bool) -> Seen:
    dice = options.dice(NAME, "10.6", name)
    plan = replace(USERS, laws=replace(ALL, cluster=cluster), tick=USERS.tick if as_units else POLLED)
    users = Sessions(options.runs, size, plan.tick, dice.spawn(1)[0], as_units=as_units)
    return lead(Scene(TRAFFIC, _calm, users=users.counts), plan, options.runs, dice)
