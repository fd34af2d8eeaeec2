"""A small world in which only calls of users are counted, by a source that knows no sessions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import Sources
from small_world import COSTS, SmallSource, a_quick_policy


@dataclass
class UsersSource(SmallSource):
    """Counts users' calls by weight, without knowing their sessions, and new sessions that all go to stable."""

    name: str = "http"

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        (counted,) = await super().measure(rollout, window)
        weight = self.cloud.routing.weight(rollout.canary)
        stable = replace(counted.stable, calls=0) if weight == 100 else replace(counted.stable, new_sessions=1)
        return (replace(counted, stable=stable),)


def a_users_policy(**but: Any) -> Policy:
    gates = (Gate(GateKind.ERROR_RATE, ("http",)),)
    return a_quick_policy(sources=Sources(probe=None, logs=None, http=COSTS), gates=gates, **but)
