"""All that the page of one rollout is made from."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from foundry_rollouts.core.judging.analysis import GateReading
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.policy import Gate, GateKind, Step, WeightStep
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.operations.log_tail import Running
from foundry_rollouts.operations.page.counted import between, main_stratum
from foundry_rollouts.operations.page.words import version
from foundry_rollouts.operations.replayed import JudgedRollout, Point

#: What happens a minute is what happened in the last five.
RATE_OF = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Scene:
    """A rollout with its history, its measurements judged again, and the commands that wait for it."""

    rollout: Rollout
    events: tuple[Event, ...]
    judged: JudgedRollout
    commands: tuple[Command, ...]
    now: datetime
    running: Running | None = None  #: The agent's sessions that have a sandbox; None: not known.

    @property
    def canary(self) -> str:
        return version(self.rollout.canary)

    @property
    def stable(self) -> str:
        return version(self.rollout.stable)

    @property
    def last(self) -> Point | None:
        return self.judged.points[-1] if self.judged.points else None

    @property
    def readings(self) -> tuple[GateReading, ...]:
        """How the gates stand; those of the present step only."""
        tick = self.judged.last
        return tick.analysis.gates if tick and tick.rollout.step == self.rollout.step else ()

    @property
    def next_step(self) -> Step | None:
        """The step behind the present one."""
        steps = self.rollout.policy.steps
        return steps[self.rollout.step] if self.rollout.step < len(steps) else None

    @property
    def next_weight(self) -> int:
        """The canary's weight after a step more."""
        later = [step.weight for step in self.rollout.policy.steps[self.rollout.step :] if isinstance(step, WeightStep)]
        return later[0] if later else 100

    @property
    def error_gate(self) -> Gate | None:
        """The gate that counts failed calls."""
        return next((gate for gate in self.rollout.policy.gates if gate.kind is GateKind.ERROR_RATE), None)

    def per_second(self) -> tuple[float, float]:
        """Return calls a second on the canary and on both versions, in the last minutes."""
        gate, points = self.error_gate, self.judged.points
        key = main_stratum(gate, points[-1]) if gate and points else None
        if key is None:
            return 0.0, 0.0
        first = next(each for each in points if each.at > points[-1].at - RATE_OF and each.step == points[-1].step)
        if first is points[-1] and len(points) > 1:
            first = points[-2]  # The only one at its step: its calls came since the one before.
        seen, seconds = between(first, points[-1], key), (points[-1].at - first.at).total_seconds()
        return (seen.canary_calls / seconds, seen.calls / seconds) if seconds else (0.0, 0.0)

    def failed(self, first: Point | None = None, last: Point | None = None) -> Tally:
        """Return users' calls from one point to another: those of the source that sees most."""
        gate, last = self.error_gate, last or self.last
        key = main_stratum(gate, self.judged.points[-1]) if gate and self.judged.points else None
        if key is None or last is None:
            return Tally()
        return between(first, last, key) if first else last.totals.get(key, Tally())

    def step_ends(self) -> list[Point]:
        """Return the last point of each step."""
        points = self.judged.points
        return [*(one for one, after in pairwise(points) if one.step != after.step), *points[-1:]]

    def harm_began(self) -> Point | None:
        """Return the last point at which nothing spoke against the canary."""
        calm = [point for point in self.judged.points if point.harm <= 0.0005]
        return calm[-1] if calm else None
