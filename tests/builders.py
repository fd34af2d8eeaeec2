"""What tests begin with: whole, ordinary values of which a test changes only what matters to it.

``a_rollout(phase=Phase.PAUSED)`` is an ordinary rollout, but paused.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import Intent, Record

#: The instant at which ordinary tests begin.
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def a_policy(**but: Any) -> Policy:
    """Return a policy of three steps that watches the error rate of the probe."""
    policy = Policy(
        name="support",
        agents=("support-*",),
        steps=(
            WeightStep(10, min=timedelta(minutes=1), max=timedelta(minutes=10)),
            WeightStep(50, min=timedelta(minutes=5), max=timedelta(minutes=30)),
            WeightStep(100, min=timedelta(minutes=30)),
        ),
        gates=(Gate(GateKind.ERROR_RATE, ("probe",)),),
        call_limit=timedelta(0),
    )
    return replace(policy, **but)


def a_rollout(**but: Any) -> Rollout:
    """Return a pending rollout of version 2 of ``support-agent``, whose stable version is 1."""
    rollout = Rollout(
        id="r-1",
        agent="support-agent",
        canary="2",
        stable="1",
        policy=a_policy(),
        created_at=NOON,
    )
    return replace(rollout, **but)


def an_event(**but: Any) -> Event:
    """Return the first event of ``a_rollout()``."""
    event = Event(
        id="r-1-1",
        at=NOON,
        kind="rollout.created",
        agent="support-agent",
        because="version 2 is newer than the stable version 1",
        rollout="r-1",
    )
    return replace(event, **but)


def an_intent(**but: Any) -> Intent:
    """Return the intent to give version 2 of ``support-agent`` its first ten percent."""
    intent = Intent(
        id="r-1-2",
        agent="support-agent",
        opened_at=NOON,
        before=Routing.of({"1": 100}),
        target=Routing.of({"1": 90, "2": 10}),
        is_retreat=False,
        record=Record(),
    )
    return replace(intent, **but)
