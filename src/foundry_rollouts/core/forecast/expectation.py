"""How long it takes, on average, until bets on one gate prove that a canary is good.

Expectations come from the very bets that the judge places: what they gain by one call, on average, divides what they
have to win. Measured times lie within some 15 percent. Times are seconds; what never comes takes infinitely many.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foundry_rollouts.core.forecast.times import settling_seconds
from foundry_rollouts.core.judging.bets import Bet, ladder_bets, safe_bets
from foundry_rollouts.core.judging.capital import takes
from foundry_rollouts.core.judging.constants import (
    BATCH_CALLS,
    CLUSTER_HALF_LIFE,
    GROSS,
    LADDER,
    LEARNING_CALLS,
    SAFE_POSITIONS,
    SLOW,
)
from foundry_rollouts.core.judging.estimate import plausible
from foundry_rollouts.core.judging.evidence import strata
from foundry_rollouts.core.judging.spread import Spread
from foundry_rollouts.core.model.policy import SOAK, Gate, GateKind, Policy
from foundry_rollouts.core.model.sources import ProbeConfig

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
    is_probe: bool = False
    settles: float = 0.0  #: Seconds after which a call has ended, whatever its source.
    cluster: float = 1.0  #: Calls that fail together.

    @property
    def is_two_sided(self) -> bool:
        return self.has_calls and 0 < self.canary < 1

    @property
    def has_calls(self) -> bool:
        return self.rate > RAREST

    @property
    def proves_after(self) -> float:
        """Seconds after which a call may prove anything: it has ended, and is counted."""
        return max(self.lag, self.settles)

    @property
    def batch_seconds(self) -> float:
        return max(BATCH_CALLS, 1 / self.canary, 1 / (1 - self.canary)) / self.rate if self.is_two_sided else 0.0

    def learning_seconds(self, calls: int) -> float:
        """Return how long stable teaches what is slow; without calls on it, that was learnt before."""
        return calls / (self.rate * (1 - self.canary)) if self.is_two_sided else 0.0

    def gain(self, bet: Bet, canary_rate: float, stable_rate: float) -> float:
        """Return what ``bet`` gains a second when the versions fail at these rates."""
        canary, stable = self.canary, 1 - self.canary
        return self.rate * bet.gain(canary, canary * canary_rate, stable, stable * stable_rate) / self.cluster


def deciding(policy: Policy) -> tuple[Gate, ...]:
    return tuple(gate for gate in policy.gates if not (gate.is_dry_run or gate.bounds))


def streams(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> Iterator[Stream]:
    """Yield the calls that ``gate`` sees: the probe's are divided evenly, those of users by weight."""
    settles = settling_seconds(policy, weight)
    for stratum, share in strata(policy, gate):
        lag = policy.sources.lag(stratum).total_seconds()
        if policy.sources.probe and stratum.rpartition("/")[2] == "probe":
            yield Stream(probe_rate(policy.sources.probe), 0.5, share, lag, is_probe=True, settles=settles)
        else:
            cluster = policy.sources.cluster_of(stratum)
            learnt = _learnt_cluster(weight, traffic) if cluster is None else cluster
            yield Stream(traffic.rps, weight / 100, share, lag, settles=settles, cluster=learnt)


def _learnt_cluster(weight: int, traffic: Traffic) -> float:
    """Return the cluster factor that half an hour of stable's failures teaches, where each comes on its own.

    At 100 stable has no calls: it stays what the weight before taught, of which 50 is the ordinary one.
    """
    failures = traffic.rps * (1 - min(weight, SOAK) / 100) * traffic.stable_rate
    remembered = CLUSTER_HALF_LIFE / math.log(2) / 2  # seconds: half of what it remembers in the long run
    return Spread(failures * remembered, failures * remembered).cluster


def probe_rate(probe: ProbeConfig) -> float:
    return 2 * probe.pairs / probe.every.total_seconds()


def proof_seconds(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> float:
    """Return the seconds until ``gate`` has what it needs of a canary as good as stable.

    Below 100 that is proof that it is better than bad; what users' calls and the probe's win multiplies, as they are
    different calls. At 100 nobody is left to compare with, and the first call seen will do.
    """
    found = list(streams(policy, gate, weight, traffic))
    if weight == 100:
        return min((_seen_after(policy, gate, stream) for stream in found), default=math.inf)
    groups = [[stream for stream in found if stream.is_probe is is_probe] for is_probe in (False, True)]
    users, probes = ([_claim(policy, gate, stream, group, traffic) for stream in group] for group in groups)
    together = [_together(policy, [one, other]) for one in users for other in probes]
    alone = [_together(policy, [claim]) for claim in (*users, *probes)]
    return policy.warm_up.total_seconds() + min((*alone, *together), default=math.inf)


def _seen_after(policy: Policy, gate: Gate, stream: Stream) -> float:
    """Return the seconds until a call of a canary with all traffic is seen."""
    if not stream.has_calls:
        return math.inf
    has_learnt = stream.is_two_sided or policy.weight_at(1) < 100
    if gate.kind is GateKind.LATENCY and not has_learnt:
        return math.inf
    return 1 / (stream.rate * stream.canary) + stream.lag


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one stratum has to make up for, as a logarithm, what it wins a second, and when it begins to."""

    owes: float
    gain: float
    after: float
    least: float


def _claim(policy: Policy, gate: Gate, stream: Stream, group: Sequence[Stream], traffic: Traffic) -> _Claim:
    rates, learning = _rates(gate, traffic)
    if not stream.is_two_sided:
        return _Claim(0.0, 0.0, 0.0, 0.0)
    part = stream.share / sum(each.share for each in group) / len(rates)
    placed = [
        (safe_bets(policy.judge.bad, plausible(rate), stream.canary, 1 - stream.canary)[0], rate) for rate in rates
    ]
    return _Claim(
        owes=math.log(len(SAFE_POSITIONS)) - math.log(part),
        gain=max(stream.gain(bet, plausible(rate), plausible(rate)) for bet, rate in placed),
        after=stream.proves_after + stream.learning_seconds(learning),
        least=stream.batch_seconds,
    )


def _together(policy: Policy, claims: Sequence[_Claim]) -> float:
    """Return when these claims have won, taken together, what proves a canary."""
    if any(claim.gain <= 0 for claim in claims):
        return math.inf
    goal = -math.log(policy.judge.missed_bad) + sum(claim.owes + claim.gain * claim.after for claim in claims)
    seconds = takes(goal, sum(claim.gain for claim in claims))
    return max(seconds, *(claim.after + claim.least for claim in claims))


def gross_seconds(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> float:
    """Return the seconds until ``gate`` proves the canary less than 16 points worse."""
    _, learning = _rates(gate, traffic)
    times = [
        takes(goal, max(gain for margin, gain in zip(LADDER, gains, strict=True) if margin <= GROSS))
        + stream.learning_seconds(learning)
        + stream.proves_after
        for stream, (goal, gains) in zip(
            _two_sided(policy, gate, weight, traffic), ladder_gains(policy, gate, weight, traffic), strict=True
        )
    ]
    return policy.warm_up.total_seconds() + min(times, default=math.inf)


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
