"""Policies of one gate and what they make of tracks."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.analysis import Analysis, GateReading
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.sources import OutcomesConfig, Sources
from unit.core.judging.made_evidence import a_track, proving

ERRORS = Gate(GateKind.ERROR_RATE, ("probe",))


LINES = Gate(GateKind.LOG_ERRORS, ("logs",))


LATENCY = Gate(GateKind.LATENCY, ("probe",))


CEILING = replace(ERRORS, max=0.2)


SECOND = timedelta(seconds=1)


PROVED, HARMED = proving(-1, 3), proving(3, -1)


def analysed(policy: Policy, *tracks: Track, step: int = 1, now: datetime = NOON) -> Analysis:
    bare = replace(policy, ignored_errors=tuple(ErrorKind))
    rollout = a_rollout(phase=Phase.PROGRESSING, step=step, started_at=NOON, step_started_at=NOON, policy=bare)
    return judge(rollout, Evidence(tracks), (), now)


def read(policy: Policy, *tracks: Track, **but: Any) -> GateReading:
    return analysed(policy, *tracks, **but).gates[0]


def seen_by_two(gate: Gate) -> Policy:
    return a_policy(gates=(replace(gate, sources=("probe", "outcomes")),), sources=Sources(outcomes=OutcomesConfig()))


def of_errors(*processes: Any, **but: Any) -> Track:
    return a_track(*processes, **({"seen_at": NOON} | but))


def of_lines(*processes: Any, **but: Any) -> Track:
    return a_track(*processes, **({"gate": "log-errors", "stratum": "logs", "seen_at": NOON} | but))


#: The evidence that odds of 1 in 100 ask for, and no more.
JUST_ENOUGH = -math.log(0.01)


def bounded(*rungs: float) -> tuple[float, ...]:
    """Return a ladder whose first rungs are proved: so many powers of ten each."""
    return tuple(rung * math.log(10) for rung in (*rungs, *[-9.0] * (8 - len(rungs))))
