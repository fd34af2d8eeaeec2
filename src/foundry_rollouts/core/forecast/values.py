"""What to expect of gates on a value before they are used: how soon so many windows in a row have passed."""

import math
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.sources import PolledConfig


@dataclass(frozen=True, slots=True)
class ValuePlan:
    """One gate and one of the sources that tell its number."""

    gate: str
    source: str
    bounds: Bounds
    window: timedelta  #: Windows are at least so long.
    delay: timedelta
    is_dry_run: bool

    @property
    def decides(self) -> timedelta:
        """How long after the beginning of a step so many windows in a row are known."""
        return self.bounds.windows * self.window + self.delay


def value_plans(policy: Policy) -> tuple[ValuePlan, ...]:
    """Return what to expect of each gate on a value, source by source."""
    return tuple(
        ValuePlan(gate.name, source, gate.bounds, config.every, config.delay, gate.is_dry_run)
        for gate in policy.gates
        if gate.bounds
        for source in gate.sources
        if isinstance(config := policy.sources.config(source), PolledConfig)
    )


def seconds_within(policy: Policy) -> float:
    """Return the seconds until every number that decides has lain within its bounds for long enough, at any step.

    Beside stable there is nothing to say as long as stable has reported no number: never, when the first step is all.
    """
    first = next(weight for at in range(1, len(policy.steps) + 1) if (weight := policy.weight_at(at)))
    times = (
        math.inf if plan.bounds.is_relative and first == 100 else plan.decides.total_seconds()
        for plan in value_plans(policy)
        if not plan.is_dry_run
    )
    return max(times, default=0.0)
