"""What to expect of a policy before it is used: how long proof takes, and what harm is seen how soon.

Expectations come from the very bets that the judge places: what they gain by one call, on average, divides what they
have to win. Measured times lie within some 15 percent for proof; harm varies more from one case to the next.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.core.bets import HARM_POSITIONS, LADDER, Bet, floor_bets, harm_bets, ladder_bets
from foundry_rollouts.core.evidence import LEARNING_CALLS, SLOW, STRICT, strata
from foundry_rollouts.core.judge import GROSS, part_of
from foundry_rollouts.core.policy import ApprovalStep, Gate, GateKind, Margin, OnNoEvidence, Policy, WeightStep
from foundry_rollouts.core.sources import ProbePlan
from foundry_rollouts.core.statistics import Bets, samples_to_prove
from foundry_rollouts.core.value_plan import seconds_within

#: Staked at the start on each claim of harm; the rest of the capital waits as cash.
STAKED = 0.5 / len(HARM_POSITIONS)
RAREST = 1e-9  #: Calls a second that are as good as none.
BATCH = 8  #: Calls without which nothing is bet.
LONGEST = timedelta(days=3650)  #: What takes longer counts as never.


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is assumed of an agent: calls of users a second, and the share of them that fails on stable."""

    rps: float
    stable_rate: float


@dataclass(frozen=True, slots=True)
class Regression:
    """A canary that is worse than stable."""

    name: str
    canary_rate: float


@dataclass(frozen=True, slots=True)
class Seen:
    """After how long harm of one size is proved, on the step it begins at; None: never."""

    regression: Regression
    after: timedelta | None


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What to expect of one step of a version that is as good as stable."""

    number: int  #: From 1, approvals counted.
    weight: int
    bakes: timedelta
    limit: timedelta | None  #: The policy's ``max``.
    proof: timedelta | None  #: Until it is proved; None: never.
    lasts: timedelta | None  #: None: it does not go on by itself.
    canary_calls: int  #: Of users, while it lasts, or else until its limit.
    stable_calls: int
    probe_pairs: int
    seen: tuple[Seen, ...]

    @property
    def room(self) -> timedelta | None:
        """The time within which harm should show: the limit, or how long it lasts."""
        return self.limit if self.limit is not None else self.lasts


@dataclass(frozen=True, slots=True)
class Plan:
    """What to expect of a policy; ``until_promoted`` leaves out the wait for approvals, None is never."""

    policy: Policy
    traffic: Traffic
    steps: tuple[StepPlan, ...]
    until_promoted: timedelta | None

    @property
    def approvals(self) -> int:
        """How often a person is waited for."""
        return sum(isinstance(step, ApprovalStep) for step in self.policy.steps)


@dataclass(frozen=True, slots=True)
class _Stream:
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
        return max(BATCH, 1 / self.canary, 1 / (1 - self.canary)) / self.rate if self.is_two_sided else 0.0

    def learning_seconds(self, calls: int) -> float:
        """Return how long stable teaches what is slow; without calls on it, that was learnt before."""
        return calls / (self.rate * (1 - self.canary)) if self.is_two_sided else 0.0

    def gain(self, bet: Bet, canary_rate: float, stable_rate: float) -> float:
        """Return what ``bet`` gains a second when the versions fail at these rates."""
        canary, stable = self.canary, 1 - self.canary
        return self.rate * bet.gain(canary, canary * canary_rate, stable, stable * stable_rate)


def plan(policy: Policy, traffic: Traffic) -> Plan:
    """Return what to expect of ``policy`` at that traffic."""
    steps = tuple(
        _step(policy, number, step, traffic)
        for number, step in enumerate(policy.steps, start=1)
        if isinstance(step, WeightStep)
    )
    lasts = [step.lasts for step in steps]
    whole = None if None in lasts else sum((span for span in lasts if span is not None), timedelta(0))
    return Plan(policy, traffic, steps, whole)


def regressions(traffic: Traffic) -> tuple[Regression, ...]:
    """Return the regressions that a plan looks at: twice as many failures, some points more, a dead canary."""
    stable = traffic.stable_rate
    points = [Regression(f"+{more} points", min(stable + more / 100, 1.0)) for more in (2, 10)]
    return (Regression("twice", min(2 * stable, 1.0)), *points, Regression("dead", 1.0))


def _step(policy: Policy, number: int, step: WeightStep, traffic: Traffic) -> StepPlan:
    proofs = (_proof_seconds(policy, gate, step.weight, traffic) for gate in _deciding(policy))
    proof = max((seconds_within(policy), *proofs))
    lasts = _lasts(policy, step, proof, traffic)
    seconds = _seconds(step.max) if lasts is None else lasts.total_seconds()
    share = step.weight / 100
    probe = policy.sources.probe
    return StepPlan(
        number=number,
        weight=step.weight,
        bakes=step.min,
        limit=step.max,
        proof=_span(proof),
        lasts=lasts,
        canary_calls=round(traffic.rps * share * seconds),
        stable_calls=round(traffic.rps * (1 - share) * seconds),
        probe_pairs=math.floor(_probe_rate(probe) / 2 * seconds) if probe else 0,
        seen=tuple(
            Seen(regression, _span(_harm_seconds(policy, step.weight, traffic, regression.canary_rate)))
            for regression in regressions(traffic)
        ),
    )


def _lasts(policy: Policy, step: WeightStep, proof: float, traffic: Traffic) -> timedelta | None:
    """Return how long the step lasts by the policy's word on steps without proof; None when it stops there."""
    if step.max is None or proof <= step.max.total_seconds():
        return _span(max(proof, _seconds(step.min)))
    match policy.on_no_evidence:
        case OnNoEvidence.HOLD:
            return _span(proof)
        case OnNoEvidence.ADVANCE_IF_NOT_GROSS:
            times = (_gross_seconds(policy, gate, step.weight, traffic) for gate in _deciding(policy))
            gross = max((seconds_within(policy), *times))
            return _span(min(proof, max(_seconds(step.max), gross)))
        case _:
            return None


def _deciding(policy: Policy) -> tuple[Gate, ...]:
    return tuple(gate for gate in policy.gates if not (gate.is_dry_run or gate.bounds))


def _streams(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> Iterator[_Stream]:
    """Yield the calls that ``gate`` sees: the probe's are divided evenly, those of users by weight."""
    for stratum, share in strata(policy, gate):
        lag = policy.sources.lag(stratum).total_seconds()
        if policy.sources.probe and stratum.rpartition("/")[2] == "probe":
            yield _Stream(_probe_rate(policy.sources.probe), 0.5, share, lag)
        else:
            yield _Stream(traffic.rps, weight / 100, share, lag)


def _probe_rate(probe: ProbePlan) -> float:
    return 2 * probe.pairs / probe.every.total_seconds()


def _proof_seconds(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> float:
    """Return the seconds until ``gate`` proves a canary as good as stable to be better than bad."""
    judging = policy.judge
    bets = Bets(judging.tolerate, judging.bad)
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
        for stream in _streams(policy, gate, weight, traffic)
        if stream.is_two_sided or (stream.has_calls and weight == 100 and has_past)
        for rate in rates
    ]
    return min(times, default=math.inf)


def _gross_seconds(policy: Policy, gate: Gate, weight: int, traffic: Traffic) -> float:
    """Return the seconds until ``gate`` proves the canary less than 16 points worse."""
    rates, learning = _rates(gate, traffic)
    times = [
        _until(-math.log(policy.judge.missed_bad * stream.share), _gross_gains(stream, rates[0]))
        + stream.learning_seconds(learning)
        + stream.lag
        for stream in _streams(policy, gate, weight, traffic)
        if stream.is_two_sided
    ]
    return min(times, default=math.inf)


def _gross_gains(stream: _Stream, rate: float) -> list[float]:
    bets = ladder_bets(rate, stream.canary, 1 - stream.canary)
    return [stream.gain(bet, rate, rate) for margin, bet in zip(LADDER, bets, strict=True) if margin <= GROSS]


def _rates(gate: Gate, traffic: Traffic) -> tuple[tuple[float, ...], int]:
    """Return the rates at which samples of stable "fail" at ``gate``, and the calls that it learns them from."""
    if gate.kind is GateKind.LATENCY:
        return tuple(1 - share for share in SLOW), LEARNING_CALLS
    return (traffic.stable_rate,), 0


def _harm_seconds(policy: Policy, weight: int, traffic: Traffic, canary_rate: float) -> float:
    """Return the seconds until a canary that fails at ``canary_rate`` is proved to do harm."""
    times = [
        _harm_seen(policy, gate, part_of(policy, gate) * stream.share, stream, (canary_rate, traffic.stable_rate))
        for gate in _deciding(policy)
        if gate.kind is not GateKind.LATENCY
        for stream in _streams(policy, gate, weight, traffic)
        if stream.has_calls
    ]
    return min(times, default=math.inf)


def _harm_seen(policy: Policy, gate: Gate, part: float, stream: _Stream, rates: tuple[float, float]) -> float:
    """Return when one stratum proves harm: by comparison, or by a ceiling that the canary breaks."""
    goal = -math.log(policy.judge.false_rollback * part * STAKED)
    above = math.inf
    if gate.max is not None:
        above = _until(goal, (stream.gain(bet, *rates) for bet in floor_bets(gate.max)))
    if not stream.is_two_sided:
        return above + stream.lag
    worse, strictly_worse = (
        _until(goal, _gains_against(line, stream, rates)) for line in (policy.judge.tolerate, STRICT)
    )
    return max(min(worse, max(above, strictly_worse)), stream.batch_seconds) + stream.lag


def _gains_against(line: Margin, stream: _Stream, rates: tuple[float, float]) -> list[float]:
    guess = min(max(rates[1], 2e-5), 0.95)
    return [stream.gain(bet, *rates) for bet in harm_bets(line, guess, stream.canary, 1 - stream.canary)]


def _until(goal: float, gains: Iterable[float]) -> float:
    best = max(gains, default=0.0)
    return goal / best if best > 1e-12 else math.inf


def _span(seconds: float) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds <= LONGEST.total_seconds() else None


def _seconds(span: timedelta | None) -> float:
    return 0.0 if span is None else span.total_seconds()
