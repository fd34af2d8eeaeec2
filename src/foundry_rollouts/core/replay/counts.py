"""What bare counts lead to under a policy: the judge and the decisions, over again, interval by interval."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.evidence import at_new_weight, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.judging.logarithms import as_log10
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, Sources
from foundry_rollouts.core.replay.recorded import standing_at

#: Second 0 of counts that say "seconds" and not when.
ZERO = datetime(1970, 1, 1, tzinfo=UTC)
#: Bare counts are what somebody reports of calls: one source, one stratum.
SOURCE = "outcomes"
COUNTED = Sources(probe=None, logs=None, outcomes=OutcomesConfig())


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
    evidence = initial(rollout.policy)
    began, weight = ZERO, None
    for interval in intervals:
        now = ZERO + timedelta(seconds=interval.seconds)
        if interval.weight != weight:
            evidence = evidence if weight is None else at_new_weight(evidence)
            rollout = standing_at(rollout, interval.weight, began)
        analysis = judge(rollout, evidence, (_measured(interval.tally, Window(began, now)),), now)
        decision = decide(rollout, Situation(now, analysis, tick_interval=now - began))
        evidence, began, weight = analysis.evidence, now, interval.weight
        (process, *_) = evidence.tracks[0].processes
        yield Judged(
            seconds=interval.seconds,
            harm_log10=as_log10(process.harm_log),
            safe_log10=as_log10(process.safe_log),
            at_most_worse=process.at_most_worse(policy.judge.missed_bad),
            verdict=analysis.verdict,
            decision=str(decision.move),
            because=decision.because,
        )


def _counting(policy: Policy) -> Policy:
    """Return ``policy`` with its error-rate gate alone, or with a plain one where it has none."""
    plain = Gate(GateKind.ERROR_RATE, (SOURCE,))
    gate = next((gate for gate in policy.gates if gate.kind is GateKind.ERROR_RATE), plain)
    alone = replace(gate, sources=(SOURCE,), weights=(), is_dry_run=False)
    known = replace(policy, sources=COUNTED, gates=(alone,), ignored_errors=tuple(ErrorKind))
    if policy.automatic is not None or policy.call_limit is None:
        return replace(known, call_limit=policy.call_limit if policy.automatic else timedelta(0))
    # Each row holds all calls that began in it, also those that were slow: what is left is how long a step lasts.
    steps = tuple(
        replace(step, min=max(step.min, policy.call_limit)) if isinstance(step, WeightStep) else step
        for step in policy.steps
    )
    return replace(known, steps=steps, call_limit=timedelta(0))


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
        SOURCE,
        window,
        stable=Counts(calls=tally.stable_calls, failures=tally.stable_failures),
        canary=Counts(calls=tally.canary_calls, failures=tally.canary_failures),
    )
