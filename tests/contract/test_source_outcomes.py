"""Outcomes from the caller's request through the database into counts, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from builders import NOON, a_policy, a_rollout, an_event
from fakes import FakeHealth, FakePolicies, FakeWake
from foundry_rollouts.core.measurement import Counts, Measurement, Window
from foundry_rollouts.core.policy import Gate, GateKind
from foundry_rollouts.core.rollout import Phase, Rollout
from foundry_rollouts.core.sources import OutcomesPlan, Sources
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Outcome, Record, Reports
from foundry_rollouts.signals.outcomes import LATE, OutcomeSource
from foundry_rollouts.signals.probe import STARTUP_BUDGET
from foundry_rollouts.store.outcomes import KEPT
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.services import Services

#: The step began when the version had long been warm.
STEP = NOON + STARTUP_BUDGET + timedelta(minutes=1)


def a_listening(**but: Any) -> Rollout:
    sources = Sources(probe=None, logs=None, outcomes=OutcomesPlan())
    policy = a_policy(sources=sources, gates=(Gate(GateKind.ERROR_RATE, ("outcomes",)),))
    begun = a_rollout(policy=policy, phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=STEP)
    return replace(begun, **but)


@dataclass
class Callers:
    """Callers of the agent, the clock of the service, and the source that counts."""

    store: SqlStore
    client: httpx.AsyncClient = field(init=False)
    wake: FakeWake = field(default_factory=FakeWake)
    time: datetime = STEP + timedelta(seconds=30)
    rollout: Rollout = field(default_factory=a_listening)
    source: OutcomeSource = field(init=False)
    measured_until: datetime = STEP

    def __post_init__(self) -> None:
        self.source = OutcomeSource(self.store)
        services = Services(
            store=self.store,
            policies=FakePolicies(),
            health=FakeHealth(),
            metrics=Metrics("test"),
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

    async def counted(self, *, is_recorded: bool = True) -> Measurement:
        """Return what the source counts up to now, as a tick would."""
        self.time += timedelta(seconds=1)
        (measurement,) = await self.source.measure(self.rollout, Window(self.measured_until, self.time))
        if is_recorded:
            self.measured_until = self.time
        return measurement


@pytest.fixture
async def callers(store: SqlStore) -> AsyncIterator[Callers]:
    callers = Callers(store)
    await store.create(replace(callers.rollout, step=0, phase=Phase.PENDING), an_event(), None)
    lease = await store.claim("support-agent", NOON)
    assert lease
    await store.record(lease, Record(rollout=callers.rollout, due_at=NOON + timedelta(hours=1)))
    await store.release(lease)
    yield callers
    await callers.client.aclose()


def outcome(id_: str, version: str = "2", **but: Any) -> dict[str, Any]:
    at = (STEP + timedelta(seconds=5)).isoformat()
    return {"id": id_, "agent": "support-agent", "version": version, "at": at, "ok": True, **but}


async def test_outcomes_of_both_versions_become_counts(callers: Callers) -> None:
    taken = await callers.report(
        outcome("a", "1", latency_ms=120.5),
        outcome("b", "2", ok=False),
        outcome("c", "2", ok=None, status=503, log_error=True),
        outcome("d", "2", ok=None, status=404),
        outcome("e", "7", ok=False),
    )
    assert taken == {"accepted": 5, "known": 0, "refused": []}
    seen = await callers.counted()
    assert (seen.stable.calls, seen.stable.failures, len(seen.stable.latencies)) == (1, 0, 1)
    assert (seen.canary.calls, seen.canary.failures, seen.canary.log_errors) == (3, 2, 1)
    assert seen.canary.causes == (("HTTP 503", 1), ("reported as failed", 1))
    assert (await callers.counted()).canary == Counts()


async def test_one_call_that_is_reported_often_counts_once(callers: Callers) -> None:
    assert (await callers.report(outcome("a"), outcome("a", ok=False), outcome("b")))["accepted"] == 2
    again = await callers.report(outcome("a"), outcome("c"))
    assert again == {"accepted": 1, "known": 1, "refused": []}
    assert (await callers.counted()).canary.calls == 3
    await callers.report(outcome("a"))
    assert (await callers.counted()).canary == Counts()


async def test_ids_of_different_agents_do_not_meet(callers: Callers) -> None:
    assert (await callers.report(outcome("a"), outcome("a", agent="other")))["accepted"] == 2
    assert (await callers.counted()).canary.calls == 1


async def test_a_failing_canary_makes_its_rollout_due_at_once(callers: Callers) -> None:
    await callers.report(outcome("a"), outcome("b", "1", ok=False), outcome("c", agent="other", ok=False))
    assert callers.wake.rings == 0
    assert await callers.store.claim_due(callers.time, 10) == []
    await callers.report(outcome("d", ok=False))
    assert callers.wake.rings == 1
    (lease,) = await callers.store.claim_due(callers.time, 10)
    assert (lease.agent, lease.due_at) == ("support-agent", callers.time)


async def test_a_rollout_that_is_woken_during_its_tick_is_looked_at_again(callers: Callers) -> None:
    lease = await callers.store.claim("support-agent", callers.time)
    assert lease
    ticked = replace(callers.rollout, measured_until=callers.time)
    callers.time += timedelta(milliseconds=200)
    await callers.report(outcome("a", ok=False))
    await callers.store.record(lease, Record(rollout=ticked, due_at=callers.time + timedelta(minutes=5)))
    await callers.store.release(lease)
    (again,) = await callers.store.claim_due(callers.time, 10)
    assert again.due_at == callers.time


async def test_a_rollout_that_has_ended_is_not_woken(callers: Callers) -> None:
    lease = await callers.store.claim("support-agent", callers.time)
    assert lease
    await callers.store.record(lease, Record(rollout=replace(callers.rollout, phase=Phase.ROLLED_BACK)))
    await callers.store.release(lease)
    await callers.store.wake("r-1", callers.time)
    await callers.store.wake("unknown", callers.time)
    assert await callers.store.claim_due(callers.time + timedelta(days=1), 10) == []


async def test_a_call_belongs_to_the_step_in_which_it_began(callers: Callers) -> None:
    await callers.report(outcome("a", at=(STEP - timedelta(seconds=1)).isoformat(), ok=False), outcome("b"))
    assert (await callers.counted()).canary == Counts(calls=1)


async def test_sessions_that_are_older_than_the_rollout_are_left_out(callers: Callers) -> None:
    before = (NOON - timedelta(hours=1)).isoformat()
    await callers.report(outcome("a", session="old", at=before), outcome("b", session="new"))
    await callers.report(outcome("c", session="old", ok=False), outcome("d", session="new"))
    assert (await callers.counted()).canary == Counts(calls=2)


async def test_a_tick_that_was_never_recorded_loses_nothing(callers: Callers) -> None:
    await callers.report(outcome("a"), outcome("b", ok=False))
    first = await callers.counted(is_recorded=False)
    second = await callers.counted()
    assert first.canary == second.canary
    assert second.canary.calls == 2
    assert (await callers.counted()).canary == Counts()


async def test_a_report_that_is_written_down_late_is_counted_all_the_same(callers: Callers) -> None:
    await callers.counted()
    received = callers.measured_until - LATE / 2
    late = Outcome("late", "support-agent", "2", STEP, received, cause="HTTP 500")
    await callers.store.report([late])
    assert (await callers.counted()).canary.failures == 1
    assert (await callers.counted()).canary == Counts()


async def test_a_new_process_counts_nothing_that_an_earlier_one_counted(callers: Callers) -> None:
    await callers.report(outcome("a", ok=False))
    assert (await callers.counted()).canary.failures == 1
    callers.source = OutcomeSource(callers.store)
    assert (await callers.counted()).canary == Counts()


@pytest.mark.parametrize("status", [424, 408, 502, 504])
async def test_a_version_that_warms_up_has_its_allowance(callers: Callers, status: int) -> None:
    callers.rollout = replace(callers.rollout, step_started_at=NOON)
    cold: dict[str, Any] = {"ok": None, "status": status}
    in_time = (NOON + STARTUP_BUDGET - timedelta(seconds=1)).isoformat()
    await callers.report(outcome("a", at=in_time, **cold), outcome("b", **cold))
    assert (await callers.counted()).canary.causes == ((f"HTTP {status}", 1),)


@pytest.mark.parametrize(
    ("but", "because"),
    [
        ({"at": (STEP + timedelta(hours=1)).isoformat()}, "in the future"),
        ({"at": (STEP - timedelta(days=2)).isoformat()}, "more than a day ago"),
        ({"ok": None}, "neither ok nor status"),
        ({"ok": False, "status": 401}, "no fault of the version"),
        ({"ok": None, "status": 403}, "no fault of the version"),
        ({"ok": None, "status": 429}, "no fault of the version"),
    ],
)
async def test_what_cannot_be_counted_is_told_and_the_rest_counts(
    callers: Callers, but: dict[str, Any], because: str
) -> None:
    taken = await callers.report(outcome("a", **but), outcome("b"))
    assert taken["accepted"] == 1
    assert [(each["id"], because in each["because"]) for each in taken["refused"]] == [("a", True)]
    assert (await callers.counted()).canary == Counts(calls=1)


@pytest.mark.parametrize(
    "but",
    [
        {"latency_ms": -1},
        {"latency_ms": 1e12},
        {"latency_ms": "NaN"},
        {"at": "2026-03-02T12:00:00"},
        {"at": "yesterday"},
        {"status": 9},
        {"surprise": 1},
        {"id": ""},
    ],
    ids=lambda but: f"{next(iter(but))}",
)
async def test_a_batch_that_lies_about_units_or_times_is_refused_whole(callers: Callers, but: dict[str, Any]) -> None:
    await callers.report(outcome("a", **but), outcome("b"), status=422)
    assert (await callers.counted()).canary == Counts()


async def test_outcomes_are_kept_for_a_day(callers: Callers) -> None:
    await callers.report(outcome("a"))
    everything = Reports("support-agent", NOON, NOON + timedelta(days=9), NOON)
    assert [each.id for each in await callers.store.outcomes(everything)] == ["a"]
    callers.time += KEPT + timedelta(minutes=1)
    await callers.report(outcome("b", at=callers.time.isoformat()))
    assert [each.id for each in await callers.store.outcomes(everything)] == ["b"]


async def test_a_database_that_is_away_is_our_trouble(callers: Callers) -> None:
    class Away:
        async def outcomes(self, which: Reports) -> list[Outcome]:
            raise StoreError("the database is away")

    callers.source = OutcomeSource(Away())
    seen = await callers.counted()
    assert (seen.canary, seen.trouble) == (Counts(), "the database is away")


async def test_release_forgets(callers: Callers) -> None:
    await callers.report(outcome("a"))
    await callers.counted()
    await callers.source.release("r-1")
    assert callers.source._read == {}
    await callers.source.close()
