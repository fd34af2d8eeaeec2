"""The rule that is measured as ours moves as the product does, tick by tick, on the same counts."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.bench.arrays import no_counts
from foundry_rollouts.bench.rules.automatic import Automatic, AutomaticPilot
from foundry_rollouts.bench.rules.ours import MINUTE, Ours, OursPilot, by_steps
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import Cell, Streams
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.transition import after
from foundry_rollouts.core.judging.evidence import Evidence, at_new_weight, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model import policy as core_policy
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging, Margin, OnNoEvidence
from foundry_rollouts.core.model.rollout import Phase, PriorCounts, Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, Sources

RULE = Ours("ours", by_steps(2 * MINUTE), Judging())
RUNS = 3


class Product:
    """One rollout, led by the product's own judge and its own decisions; ``known`` of 500 calls failed before."""

    def __init__(self, rule: Ours | Automatic, known: float) -> None:
        self.tick_seconds = rule.tick
        settings = core_policy.Automatic(soak=MINUTE, max=10 * MINUTE)
        policy = a_policy(
            steps=rule.steps if isinstance(rule, Ours) else settings.steps,
            automatic=None if isinstance(rule, Ours) else settings,
            judge=rule.judge,
            on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS,
            sources=Sources(probe=None, logs=None, outcomes=OutcomesConfig()),
            gates=(Gate(GateKind.ERROR_RATE, ("outcomes",)),),
            ignored_errors=(ErrorKind.CLIENT_ERROR,),  # The streams have none.
        )
        began = a_rollout(policy=policy, phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)
        history = (PriorCounts("error-rate", "outcomes", 500, int(known)),)
        self.rollout: Rollout = began
        self.evidence: Evidence = initial(policy, history)

    def tick(self, now: float, counts: tuple[int, int, int, int]) -> None:
        end = NOON + timedelta(seconds=now)
        seen = Measurement(
            "outcomes",
            Window(end - timedelta(seconds=self.tick_seconds), end),
            canary=Counts(calls=counts[0], failures=counts[1]),
            stable=Counts(calls=counts[2], failures=counts[3]),
        )
        analysis = judge(self.rollout, self.evidence, [seen], end)
        situation = Situation(end, analysis, tick_interval=timedelta(seconds=self.tick_seconds))
        then = after(self.rollout, decide(self.rollout, situation), end)
        has_moved = then.weight != self.rollout.weight
        self.evidence = at_new_weight(analysis.evidence) if has_moved else analysis.evidence
        self.rollout = then

    @property
    def stands(self) -> tuple[int, int]:
        if self.rollout.phase is Phase.ROLLED_BACK:
            return ROLLED_BACK, self.rollout.weight
        return (ALL_TRAFFIC, 100) if self.rollout.weight == 100 else (RUNNING, self.rollout.weight)


@pytest.mark.parametrize(
    ("cell", "ends"),
    [
        (Cell(200.0, 0.01), {ALL_TRAFFIC}),
        (Cell(2.0, 0.01), {ALL_TRAFFIC}),
        (Cell(20.0, 0.01, "5x"), {ROLLED_BACK}),
        (Cell(2.0, 0.01, "dead"), {ROLLED_BACK}),
        (Cell(0.2, 0.05, "2x"), {RUNNING}),
        (Cell(20.0, 0.05, pattern="outage", share="oscillating", outage_at=120.0), {ALL_TRAFFIC, RUNNING}),
    ],
    ids=str,
)
@pytest.mark.parametrize("rule", [RULE, Automatic("automatic")], ids=["steps", "automatic"])
def test_it_moves_as_the_product_does(rule: Ours | Automatic, cell: Cell, ends: set[int]) -> None:
    streams = Streams([cell], RUNS, np.random.default_rng(7))
    pilot: OursPilot | AutomaticPilot = rule.pilot(streams)
    products = [Product(rule, known) for known in streams.known]
    now = 0.0
    while now < 1260 and (at := np.flatnonzero(pilot.ended == RUNNING)).size:
        counts, _ = streams.draw(at, now, rule.tick, pilot.weight[at])
        now += rule.tick
        pilot.tick(at, now, counts)
        rows = zip(
            counts.canary_calls, counts.canary_failures, counts.stable_calls, counts.stable_failures, strict=True
        )
        for run, row in zip(at, rows, strict=True):
            products[run].tick(now, (int(row[0]), int(row[1]), int(row[2]), int(row[3])))
            ours = int(pilot.ended[run]), int(pilot.weight[run])
            assert (now, products[run].stands[0]) == (now, ours[0])
            assert products[run].stands[1] == ours[1] or ours[0] != RUNNING
    assert set(pilot.ended.tolist()) <= (ends if rule is RULE else ends | {ALL_TRAFFIC})


@pytest.mark.parametrize(("silence_until", "weight"), [(65.0, 50.0), (175.0, 10.0), (900.0, 10.0)])
def test_proof_moves_it_until_the_canary_has_been_silent_for_two_minutes(silence_until: float, weight: float) -> None:
    rule = replace(RULE, judge=Judging(bad=Margin(3.0, 0.2)))
    streams, everyone = Streams([Cell(20.0, 0.001)], 1, np.random.default_rng(1)), np.arange(1)
    pilot = rule.pilot(streams)
    counts, _ = streams.draw(everyone, 0.0, 50.0, pilot.weight)
    pilot.tick(everyone, 50.0, counts)
    pilot.tick(everyone, silence_until, no_counts(1))
    assert pilot.weight.tolist() == [weight]
