"""How long it takes, on average, until bets on one gate prove something: that a canary is good, or that it does harm.

Expectations come from the very bets that the judge places: what they gain by one call, on average, divides what they
have to win. Measured times lie within some 15 percent for proof; harm varies more from one case to the next.
Times are seconds; what never comes takes infinitely many.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from foundry_rollouts.core.judging.bets import Bet, floor_bets, harm_bets, ladder_bets
from foundry_rollouts.core.judging.capital import Hypotheses, plausible, samples_to_prove, takes
from foundry_rollouts.core.judging.constants import (
    BATCH_CALLS,
    GROSS,
    HARM_POSITIONS,
    LADDER,
    LEARNING_CALLS,
    SLOW,
    STAKED_AT_START,
    STRICT,
)
from foundry_rollouts.core.judging.evidence import strata
from foundry_rollouts.core.judging.judge import part_of
from foundry_rollouts.core.model.policy import Gate, GateKind, Margin, Policy, WeightStep
from foundry_rollouts.core.model.sources import ProbeConfig

#: Staked at the start on each claim of harm; the rest of the capital waits as cash.
STAKED = STAKED_AT_START / len(HARM_POSITIONS)
RAREST = 1e-9  #: Calls a second that are as good as none.


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is assumed of an agent: calls of users a second, and the share of them that fails on stable."""

    rps: float
    stable_rate: float


@dataclass(frozen=True, slots=True)
class Stream:
    """Calls of one stratum: on either version a second, the canary's part, its share in the gate, seconds late."""

    rate: float
    canary: float
    share: float
    lag: float

    @property
    def is_two_sided(self) -> bool:
        return self.has_calls and 0 < self.canary < 1

    @property
    def has_calls(self) -> bool:
        return self.rate > RAREST

    @property
    def batch_seconds(self) -> float:
        return max(BATCH_CALLS, 1 / self.canary, 1 / (1 - self.canary)) / self.rate if self.is_two_sided else 0.0

    def learning_seconds(self, calls: int) -> float:
        """Return how long stable teaches what is slow; without calls on it, that was learnt before."""
        return calls / (self.rate * (1 - self.canary)) if self.is_two_sided else 0.0

    def gain(self, bet: Bet, canary_rate: float, stable_rate: float) -> float:
        """Return what ``bet`` gains a second when the versions fail at these rates."""
        canary, stable = self.canary, 1 - self.canary
        return self.rate * bet.gain(canary, canary * canary_rate, stable, stable * stable_rate)


def deciding(policy: Policy) -> tuple[Gate, ...]:
    return tuple(gate for gate in policy.gates if not (gate.is_dry_run or gate.bounds))


def streams(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> Iterator[Stream]:
    """Yield the calls that ``gate`` sees: the probe's are divided evenly, those of users by weight."""
    for stratum, share in strata(policy, gate):
        lag = policy.sources.lag(stratum).total_seconds()
        if policy.sources.probe and stratum.rpartition("/")[2] == "probe":
            yield Stream(probe_rate(policy.sources.probe), 0.5, share, lag)
        else:
            yield Stream(traffic.rps, weight / 100, share, lag)


def probe_rate(probe: ProbeConfig) -> float:
    return 2 * probe.pairs / probe.every.total_seconds()


def proof_seconds(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> float:
    """Return the seconds until ``gate`` proves a canary as good as stable to be better than bad."""
    judging = policy.judge
    bets = Hypotheses(judging.tolerate, judging.bad)
    has_past = any(isinstance(step, WeightStep) and step.weight < 100 for step in policy.steps)
    rates, learning = _rates(gate, traffic)
    times = [
        max(
            samples_to_prove(rate, round(100 * stream.canary), bets, judging.missed_bad * stream.share / len(rates))
            / stream.rate,
            stream.batch_seconds,
        )
        + stream.learning_seconds(learning)
        + stream.lag
        for stream in streams(policy, gate, weight, traffic)
        if stream.is_two_sided or (stream.has_calls and has_past)  # one-sided is 100
        for rate in rates
    ]
    return min(times, default=math.inf)


def gross_seconds(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> float:
    """Return the seconds until ``gate`` proves the canary less than 16 points worse."""
    _, learning = _rates(gate, traffic)
    times = [
        takes(goal, max(gain for margin, gain in zip(LADDER, gains, strict=True) if margin <= GROSS))
        + stream.learning_seconds(learning)
        + stream.lag
        for stream, (goal, gains) in zip(
            _two_sided(policy, gate, weight, traffic), ladder_gains(policy, gate, weight, traffic), strict=True
        )
    ]
    return min(times, default=math.inf)


def ladder_gains(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> list[tuple[float, list[float]]]:
    """Return, for each stratum with calls on both versions, what it has to win and what it wins a second.

    The wins are those of each margin of the ladder while the canary is as good as stable, as natural logarithms.
    """
    rates, _ = _rates(gate, traffic)
    return [
        (
            -math.log(policy.judge.missed_bad * stream.share),
            [stream.gain(bet, rates[0], rates[0]) for bet in ladder_bets(rates[0], stream.canary, 1 - stream.canary)],
        )
        for stream in _two_sided(policy, gate, weight, traffic)
    ]


def _two_sided(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> list[Stream]:
    return [stream for stream in streams(policy, gate, weight, traffic) if stream.is_two_sided]


def _rates(gate: Gate, traffic: Traffic) -> tuple[tuple[float, ...], int]:
    """Return the rates at which samples of stable "fail" at ``gate``, and the calls that it learns them from."""
    if gate.kind is GateKind.LATENCY:
        return tuple(1 - share for share in SLOW), LEARNING_CALLS
    return (traffic.stable_rate,), 0


def harm_seconds(policy: Policy, weight: int, traffic: Traffic, canary_rate: float) -> float:
    """Return the seconds until a canary that fails at ``canary_rate`` is proved to do harm."""
    times = [
        _harm_seen(policy, gate, part_of(policy, gate) * stream.share, stream, (canary_rate, traffic.stable_rate))
        for gate in deciding(policy)
        if gate.kind is not GateKind.LATENCY
        for stream in streams(policy, gate, weight, traffic)
        if stream.has_calls
    ]
    return min(times, default=math.inf)


def _harm_seen(policy: Policy, gate: Gate, part: float, stream: Stream, rates: tuple[float, float]) -> float:
    """Return when one stratum proves harm: by comparison, or by a ceiling that the canary breaks."""
    goal = -math.log(policy.judge.false_rollback * part * STAKED)
    above = math.inf
    if gate.max is not None:
        above = takes(goal, max(stream.gain(bet, *rates) for bet in floor_bets(gate.max)))
    if not stream.is_two_sided:
        return above + stream.lag
    worse, strictly_worse = (
        takes(goal, max(_gains_against(line, stream, rates))) for line in (policy.judge.tolerate, STRICT)
    )
    return max(min(worse, max(above, strictly_worse)), stream.batch_seconds) + stream.lag


def _gains_against(line: Margin, stream: Stream, rates: tuple[float, float]) -> list[float]:
    guess = plausible(rates[1])
    return [stream.gain(bet, *rates) for bet in harm_bets(line, guess, stream.canary, 1 - stream.canary)]
