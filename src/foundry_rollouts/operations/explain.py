"""Every decision of a rollout with all that it rested on, so that a person can recompute it.

The inputs are the recorded measurements; the evidence is computed from them over again, with the rollout's own policy.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.judging.analysis import GateReading, Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import BESIDE
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.judging.harm import part_of
from foundry_rollouts.core.judging.logarithms import as_log10
from foundry_rollouts.core.judging.proof import safe_log
from foundry_rollouts.core.judging.split import Split
from foundry_rollouts.core.judging.track import Track, settling
from foundry_rollouts.core.model.event import HELD, Event, of_rollout
from foundry_rollouts.core.model.policy import Gate, Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import routing_of
from foundry_rollouts.core.replay.recorded import RecordedRollout, ReplayedTick, replay
from foundry_rollouts.operations.backtest import past_of
from foundry_rollouts.operations.explain_values import BoundsView, Numbers, ValueView, bounds_view, value_views
from foundry_rollouts.operations.views import MeasurementView, measurement_view
from foundry_rollouts.ports import Readings


@dataclass(frozen=True, slots=True)
class JudgeView:
    """The lines and limits that the policy sets; evidence as powers of ten."""

    tolerate: str
    bad: str
    false_rollback: float
    missed_bad: float
    harm_enough_log10: float  #: The gates' weighted mean of harm must reach it for a rollback.
    safe_enough_log10: float  #: Each gate must reach it, with harm at most 0, for the step to be proved.
    warm_up_seconds: float  #: So long after each raise only what is 25 points worse is harm, and nothing is proof.


@dataclass(frozen=True, slots=True)
class CountsPair:
    """Calls and failures of both versions; what counts as a failure is the gate's matter."""

    canary_calls: int
    canary_failures: int
    stable_calls: int
    stable_failures: int


@dataclass(frozen=True, slots=True)
class StratumView:
    """What one source, or a part of it, says about one gate."""

    stratum: str
    share: float  #: Its part in the gate's evidence.
    at_step: CountsPair
    total: CountsPair
    stable_guess: float  #: The failure rate that the next bets assume of stable.
    cluster: float  #: Calls that fail together: evidence is worth so much less.
    harm_log10: float
    safe_log10: float  #: Of calls that have settled.
    guard_log10: float | None  #: At 100: that the canary is worse than stable was before; None: not there.
    at_most_worse: float | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class SplitView:
    """New sessions of users at the present step, by the version that really answered."""

    stratum: str
    canary: int
    stable: int
    is_ignored: bool  #: They do not follow the weight.


@dataclass(frozen=True, slots=True)
class GateExplained:
    """One gate: its part among all gates, what it read, and what its strata say. Rates are fractions.

    A gate on a value has bounds and numbers instead of strata; its two values are the last numbers.
    """

    gate: str
    part: float  #: Its part in the evidence of harm of all gates; 0 for a dry run, which decides nothing.
    verdict: Verdict
    because: str
    canary_value: float | None
    stable_value: float | None
    threshold: float | None
    harm_log10: float
    safe_log10: float
    at_most_worse: float | None
    missing_calls: int | None
    strata: tuple[StratumView, ...]
    bounds: BoundsView | None
    values: tuple[ValueView, ...]


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One decision; ``measurements`` are those since the decision before, ``gates`` how they stood when it fell."""

    at: datetime
    kind: str
    step: int | None
    weights: Mapping[str, int] | None
    author: str | None
    because: str
    computed: str | None  #: What the judge says over again; None where no judge was asked.
    step_age_seconds: float | None
    settles_seconds: float | None  #: Calls younger than this may still fail, and prove nothing.
    is_troubled: bool  #: Both versions were in trouble.
    splits: tuple[SplitView, ...]
    measurements: tuple[MeasurementView, ...]
    gates: tuple[GateExplained, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rollout, decision by decision; behind its last event stands, as ``rollout.held``, how it is held now."""

    rollout: str
    agent: str
    canary: str
    stable: str | None
    policy: str
    phase: Phase
    judge: JudgeView
    decisions: tuple[DecisionView, ...]


async def explain(store: Readings, rollout_id: str) -> Explanation:
    """Return every decision of a rollout with its inputs. Raises NotFoundError for an unknown rollout."""
    rollout = await store.rollout(rollout_id)
    past, events = await past_of(store, rollout), await store.history(rollout_id)
    # Hours of ticks take seconds to judge again: meanwhile the daemon has rollouts to run.
    return await asyncio.to_thread(_explanation, past, events)


def _explanation(past: RecordedRollout, events: Sequence[Event]) -> Explanation:
    rollout, seen, decisions = past.rollout, list(replay(past)), []
    numbers = Numbers(tuple(gate.bounds for gate in rollout.policy.gates if gate.bounds))
    for event in events:
        known = [tick for tick in seen if tick.now <= event.at]
        seen = seen[len(known) :]
        decisions.append(_decision(event, known, numbers))
    if seen:
        decisions.append(_decision(_held(rollout, seen[-1]), seen, numbers))
    return Explanation(
        rollout=rollout.id,
        agent=rollout.agent,
        canary=rollout.canary,
        stable=rollout.stable,
        policy=rollout.policy.name,
        phase=rollout.phase,
        judge=_judge_view(rollout.policy),
        decisions=tuple(decisions),
    )


def _judge_view(policy: Policy) -> JudgeView:
    judge = policy.judge
    return JudgeView(
        tolerate=str(judge.tolerate),
        bad=str(judge.bad),
        false_rollback=judge.false_rollback,
        missed_bad=judge.missed_bad,
        harm_enough_log10=-math.log10(judge.false_rollback),
        safe_enough_log10=-math.log10(judge.missed_bad),
        warm_up_seconds=policy.warm_up.total_seconds(),
    )


def _held(rollout: Rollout, tick: ReplayedTick) -> Event:
    event = of_rollout(rollout, HELD, rollout.because, tick.now).showing(routing_of(rollout))
    return replace(event, id="")


def _decision(event: Event, known: Sequence[ReplayedTick], numbers: Numbers) -> DecisionView:
    last = known[-1] if known else None
    for tick in known:
        numbers.add(tick)
    # A tick that is older than the event was not what it was decided on.
    is_its_own = last is not None and last.now == event.at
    return DecisionView(
        at=event.at,
        kind=event.kind,
        step=event.step,
        weights=event.weights,
        author=event.author,
        because=event.because,
        computed=last.decision.because if last and is_its_own else None,
        step_age_seconds=last.rollout.step_age(last.now).total_seconds() if last else None,
        settles_seconds=settling(last.rollout).total_seconds() if last else None,
        is_troubled=last is not None and last.analysis.evidence.is_troubled,
        splits=tuple(map(_split, last.analysis.evidence.splits)) if last else (),
        measurements=tuple(measurement_view(each) for tick in known for each in tick.measurements),
        gates=gates_explained(last, numbers) if last else (),
    )


def gates_explained(tick: ReplayedTick, numbers: Numbers) -> tuple[GateExplained, ...]:
    """Show how each gate stood at ``tick``; ``numbers`` are the windows up to it."""
    readings = zip(tick.rollout.policy.gates, tick.analysis.gates, strict=True)
    return tuple(_gate(gate, reading, tick, numbers) for gate, reading in readings)


def _gate(gate: Gate, reading: GateReading, tick: ReplayedTick, numbers: Numbers) -> GateExplained:
    policy, evidence = tick.rollout.policy, tick.analysis.evidence
    watched = [track for track in evidence.values if track.gate == gate.name]
    return GateExplained(
        gate=reading.gate,
        part=part_of(policy, gate),
        verdict=reading.verdict,
        because=reading.because,
        canary_value=reading.canary_value,
        stable_value=reading.stable_value,
        threshold=reading.threshold,
        harm_log10=as_log10(reading.harm_log),
        safe_log10=as_log10(reading.safe_log),
        at_most_worse=reading.at_most_worse,
        missing_calls=reading.missing_calls,
        strata=tuple(_stratum(track, policy) for track in _spoke(evidence, gate)),
        bounds=bounds_view(gate.bounds) if gate.bounds else None,
        values=value_views(gate.bounds, watched, numbers) if gate.bounds else (),
    )


def _spoke(evidence: Evidence, gate: Gate) -> list[Track]:
    """Return the gate's tracks; those of client errors where there were any."""
    beside = [track for track in evidence.client_errors(gate) if _has_failures(track.total)]
    return [*evidence.of(gate), *beside]


def _has_failures(tally: Tally) -> bool:
    return bool(tally.canary_failures or tally.stable_failures)


def _split(split: Split) -> SplitView:
    return SplitView(split.stratum, split.canary, split.stable, split.is_ignored)


def _stratum(track: Track, policy: Policy) -> StratumView:
    (process, *_), (proven, *_) = track.processes, track.proven.processes
    cluster = track.spread.cluster if track.spread else policy.sources.cluster_of(track.stratum)
    return StratumView(
        stratum=f"{track.stratum}: {track.kind}" if track.kind else track.stratum,
        share=track.share * (BESIDE if track.kind else 1.0),
        at_step=_pair(track.at_step),
        total=_pair(track.total),
        stable_guess=process.guess.rate,
        cluster=cluster or 1.0,
        harm_log10=as_log10(track.stakes.harm_log),
        safe_log10=as_log10(safe_log(track)),
        guard_log10=as_log10(track.guard.log) if track.guard else None,
        at_most_worse=None if track.kind else proven.at_most_worse(policy.judge.missed_bad * track.share),
        trouble=track.trouble,
    )


def _pair(tally: Tally) -> CountsPair:
    return CountsPair(tally.canary_calls, tally.canary_failures, tally.stable_calls, tally.stable_failures)
