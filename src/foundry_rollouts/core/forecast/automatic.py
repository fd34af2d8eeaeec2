"""The automatic steps that a version as good as stable is expected to take, and for how long."""

import math
from collections.abc import Iterator

from foundry_rollouts.core.deciding.automatic import COUNTING, level
from foundry_rollouts.core.forecast.expectation import Traffic, deciding, ladder_gains, proof_seconds
from foundry_rollouts.core.forecast.times import settling_seconds
from foundry_rollouts.core.forecast.values import seconds_within
from foundry_rollouts.core.judging.capital import takes
from foundry_rollouts.core.judging.constants import GROSS, LADDER, TELLING_CALLS
from foundry_rollouts.core.judging.track import at_most
from foundry_rollouts.core.model.policy import CLIMB, SOAK, Automatic, Gate, Policy

LOOK = 10.0  #: Seconds from one tick to the next, unless a failure is seen before.

#: What each stratum of each gate has won against each margin, as natural logarithms.
Won = dict[tuple[str, int, float], float]


def weight_increases(policy: Policy, automatic: Automatic, traffic: Traffic) -> Iterator[tuple[int, float]]:
    """Yield each weight from the first to 50, with the seconds after which the evidence leads on.

    At 50 these are 0 where proof at a lower weight led there. Infinite where nothing leads on: then no more follow.
    """
    calls_a_look = _calls_a_look(policy, traffic)
    weight = CLIMB[0]
    if calls_a_look and (first := level(automatic.blast_radius, calls_a_look, None)) > weight:
        yield weight, max(TELLING_CALLS / traffic.rps, LOOK, settling_seconds(policy, weight))
        weight = first
    won: Won = {}
    while weight < SOAK:
        proof = _proof(policy, weight, traffic)
        higher = {margin: level(automatic.blast_radius, calls_a_look, margin) for margin in LADDER if calls_a_look}
        known = {margin: _excluded(policy, weight, traffic, margin, won) for margin in LADDER}
        rise = min((known[margin] for margin, allowed in higher.items() if allowed > weight), default=math.inf)
        lasts = max(min(proof, rise, _overdue(automatic, known)), LOOK, settling_seconds(policy, weight))
        yield weight, lasts
        if math.isinf(lasts):
            return
        if proof <= lasts:
            yield SOAK, 0.0
            return
        _win(policy, weight, traffic, lasts - policy.warm_up.total_seconds(), won)
        weight = max((_next(weight), *(allowed for margin, allowed in higher.items() if known[margin] <= lasts)))
    yield SOAK, _proof(policy, SOAK, traffic)


def _overdue(automatic: Automatic, known: dict[float, float]) -> float:
    """Return when a weight goes on without proof: its time is over, and less than 16 points worse is known."""
    if automatic.max is None:
        return math.inf
    return max(automatic.max.total_seconds(), min(seconds for margin, seconds in known.items() if margin <= GROSS))


def _next(weight: int) -> int:
    return next(each for each in (*CLIMB, SOAK) if each > weight)


def _calls_a_look(policy: Policy, traffic: Traffic) -> float:
    """Return how many user calls one tick of the slowest source should see; 0 when no source counts them."""
    lags = [
        policy.sources.lag(name).total_seconds()
        for name in policy.sources.names
        if name != "probe" and any(name in gate.sources for gate in deciding(policy))
    ]
    calls = traffic.rps * LOOK
    return at_most(calls) * (1 + max(lags) / LOOK) if lags and calls else 0.0


def _proof(policy: Policy, weight: int, traffic: Traffic) -> float:
    proofs = (proof_seconds(policy, gate, weight, traffic) for gate in deciding(policy))
    return max((seconds_within(policy), *proofs))


def _excluded(policy: Policy, weight: int, traffic: Traffic, margin: float, won: Won) -> float:
    """Return the seconds until every gate that counts failures excludes a canary so much worse."""
    place = LADDER.index(margin)
    waits = settling_seconds(policy, weight) + policy.warm_up.total_seconds()
    times = [
        min(
            (
                takes(goal - won.get((gate.name, at, margin), 0.0), gains[place])
                for at, (goal, gains) in enumerate(ladder_gains(policy, gate, weight, traffic))
            ),
            default=math.inf,
        )
        for gate in _counting(policy)
    ]
    return waits + max(times, default=math.inf)


def _win(policy: Policy, weight: int, traffic: Traffic, seconds: float, won: Won) -> None:
    """Add what the bets win in that time; the ladder begins anew at no weight."""
    for gate in _counting(policy):
        for at, (_, gains) in enumerate(ladder_gains(policy, gate, weight, traffic)):
            for margin, gain in zip(LADDER, gains, strict=True):
                key = gate.name, at, margin
                won[key] = won.get(key, 0.0) + seconds * gain


def _counting(policy: Policy) -> list[Gate]:
    return [gate for gate in deciding(policy) if gate.kind in COUNTING]
