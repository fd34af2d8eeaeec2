"""The twin of the judge moves as the product does, tick by tick, on the same counts, whatever the world does."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from foundry_rollouts.bench.arrays import Counts, Floats
from foundry_rollouts.bench.measures.world import splits
from foundry_rollouts.bench.measures.world.hanging import AUTO, Hanging
from foundry_rollouts.bench.measures.world.outages import after_full, after_half, at, shared
from foundry_rollouts.bench.simulate import ROLLED_BACK, RUNNING
from foundry_rollouts.bench.world.judge import Late, Standing
from foundry_rollouts.bench.world.laws import Laws, Plan, Step
from foundry_rollouts.bench.world.pilot import PROMOTED
from foundry_rollouts.bench.world.product import ProductPilot
from foundry_rollouts.bench.world.scene import Moment, Rates, Scene, drawn, pilot_of
from foundry_rollouts.bench.world.trouble import Spreads
from foundry_rollouts.core.judging.logarithms import log_sum
from foundry_rollouts.core.judging.split import Split
from foundry_rollouts.core.judging.spread import Spread

RUNS, UNTIL = 2, 1200.0
QUICK = (Step(10, 60.0, 3600.0), Step(50, 90.0, 3600.0), Step(100, 200.0))
PLAN = Plan(steps=QUICK)
ALONE = replace(PLAN, probe_every=None)


def dies(after: float) -> Rates:
    return lambda moment: (np.where(moment.since_full >= after, 1.0, 0.01), moment.everywhere(0.01))


def cold(moment: Moment) -> tuple[Floats, Floats]:
    return np.where(moment.since_step < 60, 0.2, 0.01), moment.everywhere(0.01)


def hears_neither_in_turn(moment: Moment) -> tuple[np.ndarray, np.ndarray]:
    """The canary is unheard for two minutes, stable for the next two."""
    place = np.full(len(moment.at), round(moment.now / 10) % 24)
    return place >= 12, place < 12


SCENES: dict[str, tuple[Scene, Plan, set[int]]] = {
    "healthy": (Scene(20.0, shared(at(0, 0))), PLAN, {PROMOTED}),
    "sparse": (Scene(0.3, shared(at(0, 0), base=0.05), history=0.05), PLAN, {RUNNING, PROMOTED}),
    "nothing known before": (Scene(2.0, shared(at(0, 0)), history=None), PLAN, {RUNNING, PROMOTED}),
    "five times as bad": (
        Scene(20.0, lambda moment: (moment.everywhere(0.05), moment.everywhere(0.01))),
        PLAN,
        {ROLLED_BACK},
    ),
    "cold": (Scene(20.0, cold), PLAN, {PROMOTED}),
    "out at 50": (Scene(20.0, shared(after_half(30.0, 100.0))), PLAN, {PROMOTED}),
    "out at 100": (Scene(20.0, shared(after_full(100.0, 60.0), rate=1.0)), PLAN, {PROMOTED, RUNNING}),
    "dies at 100": (Scene(20.0, dies(100.0)), replace(ALONE, ceiling=None), {ROLLED_BACK}),
    "dies at 100 with a ceiling": (Scene(20.0, dies(0.0)), ALONE, {ROLLED_BACK}),
    "unheard by turns": (Scene(3.0, shared(at(200.0, 300.0)), hears=hears_neither_in_turn), PLAN, {RUNNING, PROMOTED}),
    "bad history": (Scene(2.0, shared(at(0, 0)), history=0.2), PLAN, {RUNNING, PROMOTED}),
    "automatic": (Scene(20.0, shared(at(0, 0))), AUTO, {PROMOTED}),
    "automatic, sparse": (Scene(0.5, shared(at(0, 0)), until=1200.0), AUTO, {RUNNING, PROMOTED}),
    "automatic, out": (Scene(20.0, shared(at(100.0, 200.0))), AUTO, {PROMOTED, RUNNING}),
}


class Tap:
    """Lets a scene be led by the twin, and shows the product the same counts."""

    def __init__(self, scene: Scene, plan: Plan, dice: np.random.Generator) -> None:
        self.strata = 2 if plan.pairs else 1
        rate = scene.history
        known = [None if rate is None else dice.binomial(500, rate, size=RUNS).astype(float)] * self.strata
        self.twin = pilot_of(plan, RUNS, known, is_late=scene.is_late)
        self.product = ProductPilot(RUNS, plan, known)
        self.plan, self.scene, self.dice = plan, scene, dice
        self.step, self.half, self.full = np.zeros(RUNS), np.full(RUNS, np.inf), np.full(RUNS, np.inf)

    def run(self, users: Callable[[Moment], tuple[Counts, Late]] | None = None) -> None:
        now = 0.0
        while now < min(self.scene.until, UNTIL) and (runs := np.flatnonzero(self.twin.ended == RUNNING)).size:
            weight = self.twin.weight(runs)
            self.half[runs] = np.where(weight >= 50, np.minimum(self.half[runs], now), self.half[runs])
            self.full[runs] = np.where(weight >= 100, np.minimum(self.full[runs], now), self.full[runs])
            moment = Moment(now, runs, weight, now - self.step[runs], now - self.half[runs], now - self.full[runs])
            counts, late = self.counted(moment, users)
            moved = self.twin.tick(runs, counts, late)
            self.product.tick(runs, counts, late)
            now += self.plan.tick
            self.step[moved] = now
            self.compare(now, runs)

    def counted(
        self, moment: Moment, users: Callable[[Moment], tuple[Counts, Late]] | None
    ) -> tuple[list[Counts], Late]:
        canary, stable = self.scene.rates(moment)
        late: Late = ()
        if users is None:
            calls = self.dice.poisson(self.scene.traffic * self.plan.tick, size=len(moment.at))
            mine = self.dice.binomial(calls, moment.weight / 100)
            seen = drawn(mine, calls - mine, canary, stable, self.dice)
        else:
            seen, late = users(moment)
        if self.scene.hears is not None:
            heard = np.repeat(np.stack(self.scene.hears(moment), axis=1), 2, axis=1)
            seen = Counts.of(seen.rows * heard)
        pairs = np.full(len(moment.at), self.plan.pairs)
        probe = [drawn(pairs, pairs, canary, stable, self.dice)] if self.plan.pairs else []
        return [seen, *probe], late

    def compare(self, now: float, runs: np.ndarray) -> None:
        ended = self.twin.ended[runs].tolist(), self.product.ended[runs].tolist()
        weights = self.twin.weight(runs).tolist(), self.product.weight(runs).tolist()
        going = self.twin.ended[runs] == RUNNING
        assert (now, ended[0]) == (now, ended[1])
        assert (now, [w for w, on in zip(weights[0], going, strict=True) if on]) == (
            now,
            [w for w, on in zip(weights[1], going, strict=True) if on],
        )
        still = runs[going]
        products = [self.product._runs[run] for run in still]
        unmoved = [
            place for place, each in enumerate(products) if each.analysis and each.evidence is each.analysis.evidence
        ]
        harm = [products[place].analysis.gates[0].harm_log for place in unmoved]
        np.testing.assert_allclose(self.twin.judge.harm(still[unmoved]), harm, rtol=1e-8, atol=1e-6, err_msg=f"{now}")
        safe = [products[place].analysis.gates[0].safe_log for place in unmoved]
        asked = Standing(still[unmoved], self.twin.weight(still[unmoved]), going[:0], going[:0])
        np.testing.assert_allclose(self.twin.judge.safe(asked), safe, rtol=1e-8, atol=1e-6, err_msg=f"{now}")


@pytest.mark.parametrize("name", SCENES)
def test_it_moves_as_the_product_does(name: str) -> None:
    scene, plan, ends = SCENES[name]
    tap = Tap(scene, plan, np.random.default_rng([7, *map(ord, name)]))
    tap.run()
    assert set(tap.twin.ended.tolist()) <= ends


@pytest.mark.parametrize("hang", [30.0, 60.0, 90.0])
def test_late_calls_count_where_they_began(hang: float) -> None:
    dice = np.random.default_rng(int(hang))
    users = Hanging(RUNS, 20.0, hang, dice, knows_starts=True)
    tap = Tap(Scene(20.0, shared(at(0, 0)), is_late=True), AUTO, dice)
    tap.run(users.counts)
    assert tap.twin.ended.tolist() == [ROLLED_BACK] * RUNS


def test_without_late_calls_open_intervals_change_nothing() -> None:
    scene, plan, _ = SCENES["out at 50"]
    once, again = (Tap(replace(scene, is_late=is_late), plan, np.random.default_rng(3)) for is_late in (False, True))
    once.run()
    again.run()
    assert once.twin.ended.tolist() == again.twin.ended.tolist()
    np.testing.assert_allclose(once.twin.judge.harm(np.arange(RUNS)), again.twin.judge.harm(np.arange(RUNS)), atol=1e-9)


def test_how_long_calls_take_is_a_minute_unless_the_step_is_shorter_or_the_policy_says_so() -> None:
    assert [PLAN.settle(step) for step in (Step(1, 30.0), Step(1, 300.0))] == [30.0, 60.0]
    assert replace(PLAN, laws=Laws(settle=90.0)).settle(Step(1, 30.0)) == 90.0
    assert AUTO.settle(Step(1)) == 60.0


@pytest.mark.parametrize("given", [None, 4.0])
def test_a_cluster_factor_is_the_one_of_the_core(given: float | None) -> None:
    spreads, core = Spreads(1, given), Spread()
    dice, one = np.random.default_rng(2), np.arange(1)
    for _ in range(50):
        calls, rate = int(dice.integers(0, 200)), float(dice.choice([0.001, 0.05]))
        failures = int(min(calls, 5 * dice.poisson(calls * rate / 5)))
        none = np.zeros(1, dtype=np.int64)
        counts = Counts(none, none, np.array([calls]), np.array([failures]))
        spreads.observe(one, counts, np.array([rate]), 30.0)
        core = core.after(calls, failures, rate, 30.0)
        assert spreads.cluster(one)[0] == pytest.approx(core.cluster if given is None else given)


def test_the_split_is_told_by_the_same_evidence_as_in_the_core() -> None:
    for weight, canary, stable in ((10, 0, 44), (10, 0, 45), (50, 3, 9), (2, 4, 1)):
        split = Split("logs").after(canary, stable, weight)
        below, above = splits.evidence_of(weight / 100, np.array([canary]), np.array([stable]))
        assert max(below[0], above[0]) == pytest.approx(max(log_sum(split.below), log_sum(split.above)))
        assert bool(max(below[0], above[0]) >= math.log(100)) is split.is_ignored
