"""What fails on both versions at once: outages around steps (10.2 to 10.4), day and night, and who is heard (10.1)."""

import math
from collections.abc import Callable

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Floats
from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.measures.world.trial import Part, Trial, compared, harmless, leaving_out
from foundry_rollouts.bench.report import Goal, Options, percent
from foundry_rollouts.bench.world.laws import HOUR, Plan
from foundry_rollouts.bench.world.scene import Moment, Rates, Scene, Seen

BASE, OUT = 0.01, 0.3
ALONE = Plan(probe_every=None)  #: A source of users alone.
DEAD_MOST, RISES_MOST = 400.0, 0.05
_MOST_CALLED_SAFE = 0.05

Span = Callable[[Moment], Bools]


def shared(is_out: Span, base: float = BASE, rate: float = OUT) -> Rates:
    """Return rates that both versions share: ``rate`` while they are out."""

    def rates(moment: Moment) -> tuple[Floats, Floats]:
        both = np.where(is_out(moment), rate, base)
        return both, both

    return rates


def at(start: float, lasting: float) -> Span:
    """Return the span that begins so many seconds after the start."""
    return lambda moment: np.full(len(moment.at), start <= moment.now < start + lasting)


def after_half(start: float, lasting: float) -> Span:
    """Return the span that begins so many seconds after the canary first had half of the traffic."""
    return lambda moment: (moment.since_half >= start) & (moment.since_half < start + lasting)


def after_full(start: float, lasting: float) -> Span:
    """Return the same after it first had all of it."""
    return lambda moment: (moment.since_full >= start) & (moment.since_full < start + lasting)


def unheard(options: Options) -> Part:
    """10.1: one version is not heard while both are out."""
    part, without = Part(), leaving_out(waits_at_most=None)
    out = at(130.0, 180.0)
    for traffic in (2.0, 20.0):
        for name, hears in _hearings(out).items():
            scene = Scene(traffic, shared(out), hears=hears)
            trial = Trial("10.1", f"{name}, shared outage of 3 min, {traffic:g} a second", scene, ALONE, without)
            part += harmless(trial, options)
    part += _called_safe(options)
    return part


def _hearings(out: Span) -> dict[str, Callable[[Moment], tuple[Bools, Bools]]]:
    def by_turns(moment: Moment) -> tuple[Bools, Bools]:
        is_even = np.full(len(moment.at), round(moment.now / 10) % 2 == 0)
        return is_even, ~is_even

    return {
        "stable unheard": lambda moment: (~np.zeros_like(out(moment)), ~out(moment)),
        "canary unheard": lambda moment: (~out(moment), ~np.zeros_like(out(moment))),
        "heard by turns": by_turns,
    }


def _called_safe(options: Options) -> Part:
    """Return the other way round: a canary on the bad line, not heard in the outage."""
    out = at(120.0, 180.0)

    def rates(moment: Moment) -> tuple[Floats, Floats]:
        stable = np.where(out(moment), OUT, BASE)
        return 2 * stable + 0.02, stable

    scene = Scene(
        20.0, rates, hears=_hearings(out)["canary unheard"], watches=lambda moment: moment.weight < 100, until=HOUR
    )
    trial = Trial(
        "10.1", "the same, canary unheard and on the bad line, 20 a second", scene, ALONE,
        leaving_out(waits_at_most=None), effect="on the bad line",
    )  # fmt: skip
    part, seen = compared(trial, options, "called safe", lambda each: percent(float(each.rose.mean())))
    hits = int(seen["all"].rose.sum())
    part.goals.append(_rises("10.1: called safe on the bad line, canary unheard", hits, options, _MOST_CALLED_SAFE))
    return part


def _rises(goal: str, hits: int, options: Options, most: float) -> Goal:
    measured = f"{percent(hits / options.runs)}, at most {percent(upper_bound(hits, options.runs))}"
    return Goal(goal, f"<= {percent(most)}", measured, hits / options.runs <= most)


def over_at_full(options: Options) -> Part:
    """10.2: both versions are out at half of the traffic, and well again at all of it."""
    part = Part()
    for traffic in (2.0, 20.0):
        scene = Scene(traffic, shared(after_half(100.0, 180.0), rate=1.0))
        name = f"total shared outage at 50, over at 100, {traffic:g} a second"
        part += harmless(Trial("10.2", name, scene, Plan(), leaving_out(restarts_ceiling=False)), options)
    return part


def at_full(options: Options) -> Part:
    """10.3: a canary that dies with all traffic; outages there; a healthy one."""
    part, without = Part(), leaving_out(bakes=False)
    users = Plan(probe_every=None, ceiling=None)
    for traffic, delay in ((20.0, 0.0), (20.0, 605.0), (2.0, 605.0)):
        part += _dies(options, users, traffic, delay)
    for plan, sources in ((users, "outcomes alone"), (Plan(), "with the probe")):
        for rate in (0.3, 1.0):
            scene = Scene(20.0, shared(after_full(300.0, 300.0), rate=rate))
            name = f"{percent(rate)} shared outage at 100, {sources}"
            part += harmless(Trial("10.3", name, scene, plan, without), options)
    scene = Scene(20.0, shared(lambda moment: np.zeros(len(moment.at), dtype=np.bool_)))
    trial = Trial("10.3", "healthy, outcomes alone, 20 a second", scene, users, without)
    part += harmless(trial, options)
    return part


def _dies(options: Options, plan: Plan, traffic: float, delay: float) -> Part:
    def rates(moment: Moment) -> tuple[Floats, Floats]:
        return np.where(moment.since_full >= delay, 1.0, BASE), moment.everywhere(BASE)

    when = f"{delay:g} s after the step to 100" if delay else "at the step to 100"
    name = f"canary dies {when}, outcomes alone, {traffic:g} a second"
    trial = Trial("10.3", name, Scene(traffic, rates), plan, leaving_out(bakes=False), effect="dead")
    part, seen = compared(trial, options, "failures of users", failures_and_ends)
    if traffic == 20.0:
        harm = float(seen["all"].harm.mean())
        part.goals.append(Goal(f"10.3: failures, {name}", "<= 400", failures_and_ends(seen["all"]), harm <= DEAD_MOST))
    return part


def failures_and_ends(seen: Seen) -> str:
    """Return the failures of users, and how many rollouts went back."""
    harm = f"{seen.harm.mean():,.0f}".replace(",", " ")
    return f"{harm}, {percent(float(seen.is_rolled_back.mean()))} rolled back"


def half_way(options: Options) -> Part:
    """10.4: both versions are out at half of the traffic, for a quarter of an hour."""
    part = Part()
    for traffic in (0.5, 2.0, 20.0):
        for base in (0.001, 0.01, 0.05):
            out = after_half(60.0, 900.0)
            scene = Scene(traffic, shared(out, base), history=base, watches=out)
            name = f"30% shared outage at 50, {traffic:g} a second, stable fails {percent(base)}"
            trial = Trial("10.4", name, scene, Plan(), leaving_out(holds_in_trouble=False), rate=base)
            part += _advances(options, trial)
    return part


def _advances(options: Options, trial: Trial) -> Part:
    part, seen = compared(trial, options, "advance while it lasts", lambda each: percent(float(each.rose.mean())))
    hits = int(seen["all"].rose.sum())
    part.goals.append(_rises(f"10.4: advance while it lasts, {trial.name}", hits, options, RISES_MOST))
    return part


def around_steps(options: Options) -> Part:
    """Outages that end or begin with a step, and rates that swing with the day: rolled back, by all rules."""
    part = Part()
    spans: dict[str, Span] = {
        "30% outage over at the step to 50": at(30.0, 120.0),
        "30% outage from the step to 50 on": after_half(0.0, 180.0),
        "30% outage from the step to 100 on": after_full(0.0, 180.0),
        "30% outages of 1 min, every 5 min": lambda moment: np.full(len(moment.at), moment.now % 300 < 60),
    }
    for name, span in spans.items():
        for traffic in (2.0, 20.0):
            trial = Trial("10.4", f"{name}, {traffic:g} a second", Scene(traffic, shared(span)), Plan(),
                          leaving_out(holds_in_trouble=False))  # fmt: skip
            part += harmless(trial, options)
    for traffic in (2.0, 20.0):
        trial = Trial("10.4", f"rates swing from 0.5 to 2% in an hour, {traffic:g} a second",
                      Scene(traffic, _swinging), Plan(), leaving_out(holds_in_trouble=False))  # fmt: skip
        part += harmless(trial, options)
    return part


def _swinging(moment: Moment) -> tuple[Floats, Floats]:
    both = moment.everywhere(BASE * 2 ** math.sin(2 * math.pi * moment.now / HOUR))
    return both, both
