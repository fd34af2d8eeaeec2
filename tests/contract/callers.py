"""Callers that report outcomes, and the source that counts them."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx

from builders import NOON, a_policy, a_rollout
from fakes import FakeHealth, FakePolicies, FakeWake
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, Sources
from foundry_rollouts.ports.outcomes import STARTUP_BUDGET
from foundry_rollouts.signals.outcomes import OutcomeSource
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.services import Services

#: The step began when the version had long been warm.
STEP = NOON + STARTUP_BUDGET + timedelta(minutes=1)


def a_listening(**but: Any) -> Rollout:
    sources = Sources(probe=None, logs=None, outcomes=OutcomesConfig())
    policy = a_policy(sources=sources, gates=(Gate(GateKind.ERROR_RATE, ("outcomes",)),))
    begun = a_rollout(policy=policy, phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=STEP)
    return replace(begun, **but)


@dataclass
class Callers:
    """Callers of the agent, the clock of the service, and the source that counts."""

    store: SqlStore
    client: httpx.AsyncClient = field(init=False)
    wake: FakeWake = field(default_factory=FakeWake)
    policies: FakePolicies = field(default_factory=FakePolicies)
    metrics: Metrics = field(default_factory=lambda: Metrics("test"))
    time: datetime = STEP + timedelta(seconds=30)
    rollout: Rollout = field(default_factory=a_listening)
    source: OutcomeSource = field(init=False)
    measured_until: datetime = STEP

    def __post_init__(self) -> None:
        self.source = OutcomeSource(self.store)
        services = Services(
            store=self.store,
            policies=self.policies,
            health=FakeHealth(),
            metrics=self.metrics,
            wake=self.wake,
            now=lambda: self.time,
            stop=asyncio.Event(),
        )
        transport = httpx.ASGITransport(create_app(services))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")

    async def report(self, *outcomes: dict[str, Any], status: int = 200) -> Any:
        answer = await self.client.post("/api/v1/outcomes", json={"outcomes": outcomes})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def measured(self, *, is_recorded: bool = True) -> tuple[Measurement, ...]:
        """Return what the source counts up to now, as a tick would: the present window first."""
        self.time += timedelta(seconds=1)
        measured = await self.source.measure(self.rollout, Window(self.measured_until, self.time))
        if is_recorded:
            self.measured_until = self.time
        return measured

    async def counted(self, *, is_recorded: bool = True) -> Measurement:
        """Return what the source counts up to now, in whichever windows it began."""
        present, *late = await self.measured(is_recorded=is_recorded)
        stable = sum((each.stable for each in late), present.stable)
        return replace(present, stable=stable, canary=sum((each.canary for each in late), present.canary))


def outcome(id_: str, version: str = "2", **but: Any) -> dict[str, Any]:
    at = (STEP + timedelta(seconds=5)).isoformat()
    return {"id": id_, "agent": "support-agent", "version": version, "at": at, "ok": True, **but}
