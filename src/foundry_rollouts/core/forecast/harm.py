"""How long it takes, on average, until a worse canary is found out: beside stable, or by the guard at 100.

Harm varies more from one case to the next than proof does. Times are seconds; what never comes takes infinitely many.
"""

import math
from collections.abc import Sequence

from foundry_rollouts.core.forecast.expectation import Stream, Traffic, deciding, streams
from foundry_rollouts.core.judging.bets import floor_bets, harm_bets
from foundry_rollouts.core.judging.capital import takes
from foundry_rollouts.core.judging.constants import (
    GUARD,
    GUARD_ODDS,
    HARM_POSITIONS,
    STAKED_AT_START,
    STRICT,
    WARM_PART,
    WARM_POINTS,
)
from foundry_rollouts.core.judging.estimate import plausible
from foundry_rollouts.core.judging.harm import part_of
from foundry_rollouts.core.model.policy import Gate, GateKind, Margin, Policy

#: Staked at the start on each claim of harm; the rest of the capital waits as cash.
STAKED = STAKED_AT_START / len(HARM_POSITIONS)
#: What a canary may do while it warms up.
WARM = Margin(1.0, WARM_POINTS)

Rates = tuple[float, float]  # of the canary and of stable


def harm_seconds(policy: Policy, weight: int, traffic: Traffic, canary_rate: float) -> float:
    """Return the seconds until a canary that fails at ``canary_rate`` is proved to do harm, or sent back a step."""
    rates = canary_rate, traffic.stable_rate
    times = [
        _seen_after(policy, gate, stream, found, rates)
        for gate in deciding(policy)
        if gate.kind is not GateKind.LATENCY
        for found in [[each for each in streams(policy, gate, weight, traffic) if each.has_calls]]
        for stream in found
    ]
    return min(times, default=math.inf)


def _seen_after(policy: Policy, gate: Gate, stream: Stream, found: Sequence[Stream], rates: Rates) -> float:
    part = part_of(policy, gate) * stream.share
    warm = policy.warm_up.total_seconds()
    if not stream.is_two_sided:
        ceiling = None if any(each.is_two_sided for each in found) else gate.max
        return _guarded(ceiling, part, stream, rates, warm) + stream.lag
    main = warm + _compared(policy, gate, part * (1 - WARM_PART if warm else 1.0), stream, rates)
    in_the_pot = _against(WARM, _goal(policy, part * WARM_PART), stream, rates) if warm else math.inf
    return max(in_the_pot if in_the_pot <= warm else main, stream.batch_seconds) + stream.lag


def _compared(policy: Policy, gate: Gate, part: float, stream: Stream, rates: Rates) -> float:
    """Return when one stratum proves harm: by comparison, or by a ceiling above which stable is better too."""
    goal = _goal(policy, part)
    worse = _against(policy.judge.tolerate, goal, stream, rates)
    if gate.max is None:
        return worse
    return min(worse, max(_above(gate.max, goal, stream, rates), _against(STRICT, goal, stream, rates)))


def _guarded(ceiling: float | None, part: float, stream: Stream, rates: Rates, warm: float) -> float:
    """Return when a canary that has all traffic goes back a step, as it fails more than stable did before."""
    goal = math.log(GUARD_ODDS) - math.log(part * STAKED)
    above = math.inf if ceiling is None else _above(ceiling, goal, stream, rates)
    early = _above(Margin(GUARD.ratio, WARM_POINTS).of(rates[1]), goal, stream, rates)
    if early <= warm:
        return min(early, above)
    return min(warm + _above(GUARD.of(rates[1]), goal, stream, rates), above)


def _goal(policy: Policy, part: float) -> float:
    return -math.log(policy.judge.false_rollback * part * STAKED)


def _above(limit: float, goal: float, stream: Stream, rates: Rates) -> float:
    return takes(goal, max(stream.gain(bet, *rates) for bet in floor_bets(min(limit, 1.0))))


def _against(line: Margin, goal: float, stream: Stream, rates: Rates) -> float:
    placed = harm_bets(line, plausible(rates[1]), stream.canary, 1 - stream.canary)
    return takes(goal, max(stream.gain(bet, *rates) for bet in placed))
