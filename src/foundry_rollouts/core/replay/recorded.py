"""A rollout of the past, judged over again from what was measured, under its own policy or another one.

Weights are taken as they really were, whatever the decisions say: what a weight that was never tried would have
shown nobody knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.judging.analysis import Analysis
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.evidence import Evidence, at_new_weight, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.policy import Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout


@dataclass(frozen=True, slots=True)
class WeightChange:
    """What changed ``at`` an instant: the canary's weight, or whether the rollout was paused."""

    at: datetime
    weight: int
    step: int
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class RecordedRollout:
    """A rollout, its moves, and what was measured, each in the order in which it was recorded."""

    rollout: Rollout
    moves: tuple[WeightChange, ...]
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True)
class ReplayedTick:
    """What one tick knew, and what it decides on that."""

    now: datetime
    weight: int  #: As it really was, which may be another than the policy's.
    rollout: Rollout  #: As it stood before the decision.
    measurements: tuple[Measurement, ...]
    analysis: Analysis
    decision: Decision


class BacktestOutcome(StrEnum):
    """What another policy would have come to."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    DISABLED = "disabled"
    PAUSED = "paused"
    STEPPED_BACK = "stepped_back"  #: From all traffic to a weight that compares.
    WAITING = "waiting"  #: It had no proof yet when the record moved on, or ended.
    ADVANCED = "advanced"  #: It had gone on to a weight that was never tried.
    UNKNOWN = "unknown"  #: Nothing was measured.


ENDINGS: dict[Move, BacktestOutcome] = {
    Move.PROMOTE: BacktestOutcome.PROMOTED,
    Move.ROLL_BACK: BacktestOutcome.ROLLED_BACK,
    Move.DISABLE: BacktestOutcome.DISABLED,
    Move.PAUSE: BacktestOutcome.PAUSED,
    Move.STEP_BACK: BacktestOutcome.STEPPED_BACK,
}


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What would have happened, when, at which weight, and what the canary had done until then."""

    would: BacktestOutcome
    at: datetime | None
    weight: int
    canary_calls: int
    canary_failures: int
    because: str


@dataclass(slots=True)
class Replayer:
    """A rollout of the past, as far as it was judged again; it goes on where more was recorded since."""

    rollout: Rollout
    evidence: Evidence
    is_own: bool  #: It is judged under its own policy.
    weight: int = 0
    moved: int = 0  #: So many moves were followed.
    ticks: int = 0  #: How many ticks say how long one is.
    tick: timedelta = timedelta(0)  #: How long one is that no failure ended early.

    @classmethod
    def of(cls, past: Rollout, policy: Policy | None = None) -> "Replayer":
        """Begin before the first measurement, under ``policy`` or, without one, under the rollout's own."""
        rollout = _at_its_start(past, policy or past.policy)
        return cls(rollout, initial(rollout.policy, rollout.prior_counts), policy is None)

    def go_on(self, moves: Sequence[WeightChange], measurements: Sequence[Measurement]) -> Iterator[ReplayedTick]:
        """Judge ``measurements``, which follow those of before; ``moves`` are all that there are, from the first."""
        ticks = list(_ticks(measurements))
        if len(ticks) >= self.ticks:
            self.ticks, self.tick = len(ticks), _usual_tick(ticks)
        for now, measured in ticks:
            # What was decided at the end of a window was decided on that window: it changes the next one.
            while self.moved < len(moves) and moves[self.moved].at < now:
                self._follow(moves[self.moved])
            if not self.weight:
                continue
            rollout, analysis = self.rollout, judge(self.rollout, self.evidence, measured, now, self.tick)
            yield ReplayedTick(now, self.weight, rollout, measured, analysis, decide(rollout, Situation(now, analysis)))
            self.evidence = analysis.evidence

    def _follow(self, move: WeightChange) -> None:
        self.moved += 1
        self.rollout = _moved(self.rollout, move, self.weight, is_own=self.is_own)
        if self.weight not in {0, move.weight}:
            self.evidence = at_new_weight(self.evidence)
        self.weight = move.weight


def replay(past: RecordedRollout, policy: Policy | None = None) -> Iterator[ReplayedTick]:
    """Judge the past again, tick by tick, under ``policy`` or, without one, under the rollout's own."""
    return Replayer.of(past.rollout, policy).go_on(past.moves, past.measurements)


def backtest(past: RecordedRollout, policy: Policy) -> BacktestResult:
    """Return what ``policy`` would have come to, as far as the past can tell."""
    seen: list[Measurement] = []
    last: ReplayedTick | None = None
    proof: ReplayedTick | None = None
    for tick in replay(past, policy):
        if last and tick.weight != last.weight:
            if proof is None:
                return _hindsight(BacktestOutcome.WAITING, last, seen)
            proof = None
        seen += tick.measurements
        if ending := ENDINGS.get(tick.decision.move):
            return _hindsight(ending, tick, seen)
        if tick.decision.move is Move.ADVANCE:
            proof = proof or tick
        last = tick
    if last is None:
        return BacktestResult(BacktestOutcome.UNKNOWN, None, 0, 0, 0, "nothing was measured")
    return _hindsight(BacktestOutcome.ADVANCED if proof else BacktestOutcome.WAITING, proof or last, seen)


def standing_at(rollout: Rollout, weight: int, since: datetime) -> Rollout:
    """Return the rollout on the step of ``weight`` since that instant.

    A weight that the policy does not name belongs to the step below it; below the first step, to the first.
    """
    steps = [(at, step.weight) for at, step in enumerate(rollout.policy.steps, 1) if isinstance(step, WeightStep)]
    reached = [at for at, least in steps if least <= weight]
    return replace(rollout, step=max(reached, default=steps[0][0]), step_started_at=since)


def canary_tally(measurements: Sequence[Measurement]) -> Tally:
    """Return how many calls the canary had and how many failed.

    The probe's own calls and those of users add up. What several sources saw of users is the same calls again, so
    that the one that saw most of them speaks for all; so do not add the probe's calls as the logs show them.
    """
    sums: dict[str, Tally] = {}
    for each in measurements:
        of_it = Tally(each.canary.calls, each.canary.failures)
        sums[each.source] = sums.get(each.source, Tally()) + of_it
    probe = sums.pop("probe", None)
    users = [tally for source, tally in sums.items() if not (probe and source.endswith("/probe"))]
    return (probe or Tally()) + max(users, key=lambda tally: tally.canary_calls, default=Tally())


def _ticks(measurements: Sequence[Measurement]) -> Iterator[tuple[datetime, tuple[Measurement, ...]]]:
    """Yield what each tick measured, with its instant, from measurements in the order in which they were recorded.

    Windows of live sources end at the tick, and come first; windows of sources that lag end earlier.
    """
    tick: list[Measurement] = []
    for measurement in measurements:
        if tick and measurement.window.end > tick[0].window.end:
            yield tick[0].window.end, tuple(tick)
            tick = []
        tick.append(measurement)
    if tick:
        yield tick[0].window.end, tuple(tick)


def _usual_tick(ticks: Sequence[tuple[datetime, tuple[Measurement, ...]]]) -> timedelta:
    """Return how long a tick was that no failure ended early: most windows of live sources are as long."""
    spans = sorted(now - then for (then, _), (now, _) in pairwise(ticks))
    return spans[len(spans) // 2] if spans else timedelta(0)


def _at_its_start(rollout: Rollout, policy: Policy) -> Rollout:
    return Rollout(
        id=rollout.id,
        agent=rollout.agent,
        canary=rollout.canary,
        stable=rollout.stable,
        policy=policy,
        created_at=rollout.created_at,
        phase=Phase.PROGRESSING,
        started_at=rollout.started_at,
        prior_counts=rollout.prior_counts,
    )


def _moved(rollout: Rollout, move: WeightChange, weight: int, *, is_own: bool) -> Rollout:
    """Return the rollout after ``move``; steps of another policy are found by their weight."""
    if move.is_paused:
        return after(rollout, Decision(Move.PAUSE, "paused"), move.at)
    if rollout.phase is Phase.PAUSED:
        rollout = after(rollout, Decision(Move.RESUME, "resumed"), move.at)
    if is_own and move.step != rollout.step:
        return replace(rollout, step=move.step, step_started_at=move.at)
    return rollout if move.weight == weight else standing_at(rollout, move.weight, move.at)


def _hindsight(would: BacktestOutcome, tick: ReplayedTick, seen: Sequence[Measurement]) -> BacktestResult:
    tally = canary_tally(seen)
    because = tick.decision.because
    return BacktestResult(would, tick.now, tick.weight, tally.canary_calls, tally.canary_failures, because)
