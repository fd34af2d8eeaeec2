"""The probe and the two versions that it asks."""

from datetime import timedelta
from typing import Any

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import Answer
from foundry_rollouts.signals.probe import ProbeSource
from foundry_rollouts.signals.probe_target import ProbeTimings
from unit.signals.session_world import (
    Hand,
    HandMadeSessions,
    a_quick_probe,
    a_watched,
    seen_by,
    until,
)

BROKEN = Answer(500, "", timedelta(milliseconds=5), "server_error")


COLD = Answer(424, "", timedelta(seconds=1), "session_not_ready")


class Probing:
    """A source over hand-made sessions, and whom it woke."""

    def __init__(self) -> None:
        self.cloud = HandMadeSessions()
        self.clock = Hand()
        self.woken: list[str] = []
        self.source = ProbeSource(self.cloud, self.clock.now, self.woken.append)

    def timed(self, timings: ProbeTimings) -> None:
        self.source = ProbeSource(self.cloud, self.clock.now, self.woken.append, timings=timings)

    async def asked(self, times: int) -> None:
        async def enough() -> bool:
            return len(self.cloud.asked) >= times

        await until(enough)

    async def trouble(self, rollout: Rollout) -> str:
        """Wait for the source's trouble."""

        async def is_told() -> bool:
            return (await seen_by(self.source, rollout))["probe"].trouble is not None

        await until(is_told)
        return str((await seen_by(self.source, rollout))["probe"].trouble)


def a_probed(**but: Any) -> Rollout:
    return a_watched(probe=a_quick_probe(**but), logs=None)
