"""The product itself in the place of its twin: one rollout after the other, slow, and beyond doubt."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.simulate import ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import KNOWN_CALLS
from foundry_rollouts.bench.world.judge import Late
from foundry_rollouts.bench.world.laws import Plan
from foundry_rollouts.bench.world.pilot import PAUSED, PROMOTED
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence, at_new_weight, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model import measurement
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import (
    CALL_LIMIT,
    Automatic,
    Gate,
    GateKind,
    Judging,
    OnNoEvidence,
    Policy,
    WeightStep,
)
from foundry_rollouts.core.model.rollout import Phase, PriorCounts, Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, ProbeConfig, Sources

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_STRATA = ("outcomes", "probe")
_ENDS = {Phase.ROLLED_BACK: ROLLED_BACK, Phase.PROMOTED: PROMOTED, Phase.PAUSED: PAUSED}


def policy_of(plan: Plan) -> Policy:
    """Return ``plan`` as the product knows it; callers' mistakes, of which streams have none, are not judged."""
    sources = _STRATA if plan.pairs else _STRATA[:1]
    limit = timedelta(seconds=plan.laws.settle)
    settings, steps = None, tuple(_step(step.weight, step.min, step.max) for step in plan.steps)
    if plan.blast_radius is not None:
        soak, bake = (timedelta(seconds=step.min) for step in plan.steps[-2:])
        settings = Automatic(plan.blast_radius, soak, bake, timedelta(seconds=plan.steps[0].max))
        steps = settings.steps
    return Policy(
        name="bench",
        agents=("*",),
        steps=steps,
        deadline=timedelta(seconds=plan.deadline),
        judge=Judging(plan.false_rollback, plan.missed_bad, plan.tolerate, plan.bad),
        sources=Sources(ProbeConfig() if plan.pairs else None, logs=None, outcomes=OutcomesConfig()),
        gates=(Gate(GateKind.ERROR_RATE, sources, max=plan.ceiling),),
        on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS if plan.goes_on_if_not_gross else OnNoEvidence.HOLD,
        ignored_errors=(ErrorKind.CLIENT_ERROR,),
        call_limit=None if settings is None and limit == CALL_LIMIT else limit,
        warm_up=timedelta(seconds=plan.laws.warm_up),
        automatic=settings,
    )


def _step(weight: float, least: float, most: float) -> WeightStep:
    return WeightStep(int(weight), timedelta(seconds=least), None if most == np.inf else timedelta(seconds=most))


@dataclass(slots=True)
class Product:
    """One rollout; ``known`` of 500 calls of stable failed before, by each stratum."""

    plan: Plan
    known: list[float | None]
    rollout: Rollout = field(init=False)
    evidence: Evidence = field(init=False)
    analysis: Analysis | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        policy = policy_of(self.plan)
        self.rollout = Rollout(
            "r-1", "agent", "2", "1", policy, NOON,
            phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON,
        )  # fmt: skip
        pairs = zip(_STRATA, self.known, strict=False)
        history = [
            PriorCounts("error-rate", source, KNOWN_CALLS, int(known)) for source, known in pairs if known is not None
        ]
        self.evidence = initial(policy, history)

    def tick(self, now: float, counts: list[Counts], late: Late = ()) -> None:
        """Take in what was counted in the interval that ends at ``now`` seconds, and decide."""
        end, tick = NOON + timedelta(seconds=now), timedelta(seconds=self.plan.tick)
        seen = [_measured(source, each, end, tick) for source, each in zip(_STRATA, counts, strict=False)]
        seen += [_measured(_STRATA[0], each, end - ago * tick, tick) for ago, each in late if each.calls.any()]
        self.analysis = judge(self.rollout, self.evidence, seen, end)
        then = after(self.rollout, decide(self.rollout, Situation(end, self.analysis, tick_interval=tick)), end)
        # As ``transition`` does: the clocks stand while both versions are in trouble.
        is_troubled = self.analysis.verdict is Verdict.SHARED_TROUBLE
        has_moved = then.weight != self.rollout.weight
        self.evidence = at_new_weight(self.analysis.evidence) if has_moved else self.analysis.evidence
        self.rollout = then.with_clocks(end, is_troubled=is_troubled)

    @property
    def ended(self) -> int:
        return _ENDS.get(self.rollout.phase, RUNNING)


def _measured(source: str, counts: Counts, end: datetime, tick: timedelta) -> Measurement:
    ((canary, canary_failed, stable, stable_failed),) = counts.rows.tolist()
    return Measurement(
        source,
        Window(end - tick, end),
        canary=measurement.Counts(calls=canary, failures=canary_failed),
        stable=measurement.Counts(calls=stable, failures=stable_failed),
    )


class ProductPilot:
    """Many rollouts, each led by the product."""

    def __init__(self, runs: int, plan: Plan, known: list[Floats | None]) -> None:
        self._runs = [Product(plan, [None if each is None else each[run] for each in known]) for run in range(runs)]
        self._tick, self._now = plan.tick, np.zeros(runs)
        self.ended = np.full(runs, RUNNING)

    def weight(self, at: Ints) -> Floats:
        return np.array([float(self._runs[run].rollout.weight) for run in at])

    def tick(self, at: Ints, counts: list[Counts], late: Late = ()) -> Ints:
        """Judge and move; return which runs stand at another weight now."""
        before = self.weight(at)
        self._now[at] += self._tick
        for place, run in enumerate(at):
            only = np.array([place])
            reported = [(ago, each[only]) for ago, each in late]
            self._runs[run].tick(float(self._now[run]), [each[only] for each in counts], reported)
            self.ended[run] = self._runs[run].ended
        moved: Ints = at[self.weight(at) != before]
        return moved
