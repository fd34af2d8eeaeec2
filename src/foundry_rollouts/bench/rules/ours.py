"""Our judge: one gate, the steps of a policy, by the twin of the core or by the core itself."""

from dataclasses import dataclass, field, replace

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import HOUR, Streams
from foundry_rollouts.bench.world.automatic import automatic_steps
from foundry_rollouts.bench.world.laws import MINUTE, STANDARD, Laws, Plan, Step
from foundry_rollouts.bench.world.pilot import PAUSED, PROMOTED, WorldPilot
from foundry_rollouts.bench.world.product import ProductPilot
from foundry_rollouts.bench.world.scene import drawn, pilot_of
from foundry_rollouts.core.model.policy import Margin

_TEN = 10 * MINUTE
#: Tolerates nothing, sees users alone, and grants no warm-up: what the other rules are compared with.
STRICT = Plan(
    steps=(Step(10, MINUTE, _TEN), Step(50, _TEN, _TEN), Step(100)),
    tolerate=Margin(1.0),
    bad=Margin(1.5, 0.005),
    ceiling=None,
    tick=5.0,
    probe_every=None,
    goes_on_if_not_gross=True,
    laws=Laws(warm_up=0.0),
)
#: The preset ``standard`` as it stands, with the probe.
DEFAULT = Plan(steps=STANDARD)


def automatic(call_limit: float) -> Plan:
    """Return automatic weights that soak for a minute, where no call takes longer than ``call_limit`` seconds."""
    return replace(
        STRICT, steps=automatic_steps(soak=MINUTE), blast_radius=20.0, laws=replace(STRICT.laws, settle=call_limit)
    )


@dataclass(frozen=True, slots=True)
class Ours:
    """The judge under a policy."""

    name: str
    plan: Plan
    patience: float = HOUR
    is_scalar: bool = False  #: Ask the product's own core, run after run.

    @property
    def tick(self) -> float:
        return self.plan.tick

    def pilot(self, streams: Streams) -> "OursPilot":
        return OursPilot(streams, self)


@dataclass(slots=True)
class OursPilot:
    """The rollouts under way; they have ended once they went back, or were promoted."""

    streams: Streams
    rule: Ours
    weight: Floats = field(init=False)
    ended: Ints = field(init=False)
    _pilot: WorldPilot | ProductPilot = field(init=False)
    _dice: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        runs, plan = len(self.streams), self.rule.plan
        self._dice = self.streams.dice.spawn(1)[0]
        known: list[Floats | None] = [self.streams.known] * (2 if plan.pairs else 1)
        self._pilot = ProductPilot(runs, plan, known) if self.rule.is_scalar else pilot_of(plan, runs, known)
        self.ended = np.full(runs, RUNNING)
        self.weight = self._pilot.weight(np.arange(runs))

    def tick(self, at: Ints, now: float, counts: Counts) -> None:
        moved = self._pilot.tick(at, [counts, *self._probe(at, now)])
        self.weight[moved] = self._pilot.weight(moved)
        ended = self._pilot.ended[at]
        self.ended[at[ended == ROLLED_BACK]] = ROLLED_BACK
        self.ended[at[ended == PAUSED]] = PAUSED
        # Without a time to bake, all traffic is the end.
        bakes = self.rule.plan.steps[-1].min > 0
        self.ended[at[(ended == PROMOTED) | ((self.weight[at] == 100) & (not bakes) & (ended == RUNNING))]] = (
            ALL_TRAFFIC
        )

    def _probe(self, at: Ints, now: float) -> list[Counts]:
        plan = self.rule.plan
        if not plan.pairs:
            return []
        canary, stable = self.streams.rates(at, now - plan.tick)
        pairs = np.full(len(at), plan.pairs)
        return [drawn(pairs, pairs, canary, stable, self._dice)]
