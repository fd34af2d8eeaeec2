"""What counts of the past lead to under a policy: the judge and the decisions, over again.

Weights are taken as they really were, whatever the decisions say: counts at a weight that was never tried are not
known to anybody.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from foundry_rollouts.core.analysis import Verdict
from foundry_rollouts.core.decide import Situation, decide
from foundry_rollouts.core.evidence import Evidence, at_new_weight, fresh
from foundry_rollouts.core.judge import judge
from foundry_rollouts.core.measurement import Counts, Measurement, Window
from foundry_rollouts.core.policy import Gate, GateKind, Policy, WeightStep
from foundry_rollouts.core.rollout import Phase, Rollout
from foundry_rollouts.core.statistics import Tally

#: Second 0 of counts that say "seconds" and not when.
ZERO = datetime(1970, 1, 1, tzinfo=UTC)
#: The name of the one stratum that bare counts make.
STRATUM = "the counts"


@dataclass(frozen=True, slots=True)
class Interval:
    """What was counted in the interval that ended after ``seconds``, while the canary had ``weight``."""

    seconds: float
    weight: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class Judged:
    """How the evidence stands after an interval, and what the policy makes of it."""

    seconds: float
    harm_log10: float
    safe_log10: float
    at_most_worse: float | None  #: A fraction; None when no margin is proved.
    verdict: Verdict
    decision: str  #: hold, advance, promote, rollback, pause or disable
    because: str


def replayed(policy: Policy, intervals: Iterable[Interval]) -> Iterator[Judged]:
    """Judge bare counts, interval by interval, as one stratum of one gate on the error rate."""
    rollout = _on_trial(_counting(policy))
    (track, *_) = fresh(rollout.policy).tracks
    evidence = Evidence((replace(track, stratum=STRATUM, share=1.0),))
    began, weight = ZERO, None
    for interval in intervals:
        now = ZERO + timedelta(seconds=interval.seconds)
        if interval.weight != weight:
            evidence = evidence if weight is None else at_new_weight(evidence)
            rollout = standing_at(rollout, interval.weight, began)
        analysis = judge(rollout, evidence, (_measured(interval.tally, Window(began, now)),), now)
        decision = decide(rollout, Situation(now, analysis))
        evidence, began, weight = analysis.evidence, now, interval.weight
        (process, *_) = evidence.tracks[0].processes
        yield Judged(
            seconds=interval.seconds,
            harm_log10=process.harm_log10,
            safe_log10=process.safe_log10,
            at_most_worse=process.at_most_worse(policy.judge.missed_bad),
            verdict=analysis.verdict,
            decision=type(decision).__name__.lower(),
            because=decision.because,
        )


def standing_at(rollout: Rollout, weight: int, since: datetime) -> Rollout:
    """Return the rollout on the step of ``weight`` since that instant.

    A weight that the policy does not name belongs to the step below it; below the first step, to the first.
    """
    steps = [(at, step.weight) for at, step in enumerate(rollout.policy.steps, 1) if isinstance(step, WeightStep)]
    reached = [at for at, least in steps if least <= weight]
    return replace(rollout, step=max(reached, default=steps[0][0]), step_started_at=since)


def _counting(policy: Policy) -> Policy:
    """Return ``policy`` with its error-rate gate alone, or with a plain one where it has none."""
    asked = (policy.sources.names[0],)
    plain = Gate(GateKind.ERROR_RATE, asked)
    gate = next((gate for gate in policy.gates if gate.kind is GateKind.ERROR_RATE), plain)
    return replace(policy, gates=(replace(gate, sources=asked),))


def _on_trial(policy: Policy) -> Rollout:
    return Rollout(
        id="replay",
        agent="agent",
        canary="canary",
        stable="stable",
        policy=policy,
        created_at=ZERO,
        phase=Phase.PROGRESSING,
        started_at=ZERO,
    )


def _measured(tally: Tally, window: Window) -> Measurement:
    return Measurement(
        STRATUM,
        window,
        stable=Counts(calls=tally.stable_calls, failures=tally.stable_failures),
        canary=Counts(calls=tally.canary_calls, failures=tally.canary_failures),
    )
