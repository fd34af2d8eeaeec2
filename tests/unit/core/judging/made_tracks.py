"""One track of users' errors from the logs, and what is measured for it, in seconds from noon."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.capital import begin
from foundry_rollouts.core.judging.track import Moment, Track
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind

ERRORS = Gate(GateKind.ERROR_RATE, ("logs",))
LATENCY = Gate(GateKind.LATENCY, ("logs",))


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_track(**but: Any) -> Track:
    return replace(Track("error-rate", "logs", 1.0, (begin(),)), **but)


def a_moment(step: int = 1, now: float = 0.0, tick: float = 0.0, **policy: Any) -> Moment:
    rollout = a_rollout(policy=a_policy(**policy), step=step, step_started_at=NOON)
    return Moment(rollout, at(now), tick=timedelta(seconds=tick))


def seen(begin: float = 0.0, end: float = 10.0, *counts: Counts, trouble: str | None = None) -> Measurement:
    canary, stable = counts or (Counts(4), Counts(16))
    return Measurement("logs", Window(at(begin), at(end)), stable=stable, canary=canary, trouble=trouble)
