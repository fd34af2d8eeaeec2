"""Outcomes from the caller's request through the database into counts, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from builders import NOON, a_policy, a_rollout, an_event
from fakes import FakeHealth, FakePolicies, FakeWake
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, Sources
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import AgentKnown, Outcome, Record, Reports
from foundry_rollouts.ports.outcomes import STARTUP_BUDGET
from foundry_rollouts.signals.outcomes import LATE, OutcomeSource
from foundry_rollouts.store.outcomes import KEPT
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
    )
    assert (taken["accepted"], taken["known"], taken["counted"], taken["refused"], taken["not_counted"]) == (
        *(4, 0, 4),
        *([], []),
    )
    seen = await callers.counted()
    assert (seen.stable.calls, seen.stable.failures, len(seen.stable.latencies)) == (1, 0, 1)
    assert (seen.canary.calls, seen.canary.failures, seen.canary.log_errors) == (3, 2, 1)
    assert seen.canary.causes == (("HTTP 404", 1), ("HTTP 503", 1), ("reported as failed", 1))
    assert (seen.stable.client_errors, seen.canary.client_errors) == (0, 1)
    assert (await callers.counted()).canary == Counts()


async def test_one_call_that_is_reported_often_counts_once(callers: Callers) -> None:
    assert (await callers.report(outcome("a"), outcome("a", ok=False), outcome("b")))["accepted"] == 2
    again = await callers.report(outcome("a"), outcome("c"))
    assert (again["accepted"], again["known"], again["counted"], again["refused"]) == (1, 1, 1, [])
    assert [(each["id"], each["result"]) for each in again["not_counted"]] == [("a", "duplicate")]
    assert (await callers.counted()).canary.calls == 3
    await callers.report(outcome("a"))
    assert (await callers.counted()).canary == Counts()


async def test_ids_of_different_agents_do_not_meet(callers: Callers) -> None:
    await callers.store.see_agents([AgentKnown("other")], callers.time)
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
    assert (await callers.counted()).canary == Counts(calls=1)


async def test_calls_of_one_session_are_one_unit_which_fails_once(callers: Callers) -> None:
    calls = [outcome(f"a-{number}", session="s", ok=number != 3) for number in range(5)]
    await callers.report(*calls, *(outcome(f"b-{number}", ok=False) for number in range(2)))
    seen = (await callers.counted()).canary
    assert (seen.calls, seen.failures) == (3, 3)
    await callers.report(outcome("c", session="s", ok=False), outcome("d", session="t", ok=False))
    seen = (await callers.counted()).canary
    assert (seen.calls, seen.failures) == (1, 1)


async def test_a_call_that_is_reported_late_counts_in_the_window_in_which_it_began(callers: Callers) -> None:
    callers.time = STEP + timedelta(seconds=9)
    await callers.measured()
    await callers.measured()
    now = callers.time.isoformat()
    await callers.report(outcome("hung", ok=False), outcome("quick", at=now))
    present, late = await callers.measured()
    assert (present.window.start, present.canary) == (STEP + timedelta(seconds=11), Counts(calls=1))
    assert (late.source, late.window) == ("outcomes", Window(STEP, STEP + timedelta(seconds=10)))
    assert (late.canary.calls, late.canary.failures) == (1, 1)


async def test_after_a_restart_what_began_earlier_at_the_step_is_one_window(callers: Callers) -> None:
    await callers.measured()
    callers.source = OutcomeSource(callers.store)
    await callers.report(outcome("hung", ok=False))
    present, late = await callers.measured()
    assert (late.window, late.canary.failures) == (Window(STEP, present.window.start), 1)


async def test_new_sessions_are_told_by_the_version_that_answered_each_once(callers: Callers) -> None:
    old = (STEP - timedelta(seconds=1)).isoformat()
    await callers.report(outcome("before", session="older", at=old))
    await callers.measured()
    now = callers.time.isoformat()
    await callers.report(
        outcome("a", session="one", at=now),
        outcome("b", session="one", at=now),
        outcome("c", "1", session="two", at=now),
        outcome("d", at=now),
        outcome("e", "1", session="older", at=now),
    )
    seen = await callers.counted(is_recorded=False)
    # A call that names no session may be of a conversation that began before.
    assert (seen.stable.new_sessions, seen.canary.new_sessions) == (1, 1)
    seen = await callers.counted()
    # A call that names no session may be of a conversation that began before.
    assert (seen.stable.new_sessions, seen.canary.new_sessions) == (1, 1)
    await callers.report(outcome("f", session="one", at=callers.time.isoformat()))
    assert (await callers.counted()).canary.new_sessions == 0


async def test_after_a_restart_a_session_that_was_seen_before_is_no_new_one(callers: Callers) -> None:
    await callers.measured()
    await callers.report(outcome("a", session="one", at=callers.time.isoformat()))
    assert (await callers.counted()).canary.new_sessions == 1
    callers.source = OutcomeSource(callers.store)
    await callers.measured()
    now = callers.time.isoformat()
    await callers.report(outcome("b", session="one", at=now), outcome("c", session="three", at=now))
    assert (await callers.counted()).canary.new_sessions == 1


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


def not_counted(taken: Any) -> list[tuple[str, str, str]]:
    return [(each["id"], each["result"], each["why"]) for each in taken["not_counted"]]


async def test_a_version_by_another_name_is_refused_and_may_be_sent_again_under_its_own(callers: Callers) -> None:
    taken = await callers.report(outcome("a", "v2", ok=False), outcome("b", "7"), outcome("c", "1"))
    assert (taken["accepted"], taken["counted"], [each["id"] for each in taken["refused"]]) == (1, 1, ["a", "b"])
    neither = "is neither the stable version 1 nor the canary 2"
    assert not_counted(taken) == [
        ("a", "unknown_version", f"version v2 {neither}, did you mean 2?"),
        ("b", "unknown_version", f"version 7 {neither}"),
    ]
    again = await callers.report(outcome("a", "2", ok=False))
    assert (again["accepted"], again["counted"]) == (1, 1)
    assert (await callers.counted()).canary.failures == 1


async def test_an_agent_that_nobody_knows_is_refused_with_the_name_that_is_meant(callers: Callers) -> None:
    await callers.store.see_agents([AgentKnown("support-agent")], callers.time)
    taken = await callers.report(outcome("a", agent="Support-Agent"), outcome("b", agent="nobody"))
    assert (taken["accepted"], taken["counted"]) == (0, 0)
    assert not_counted(taken) == [
        ("a", "unknown_agent", "agent Support-Agent is not known, did you mean support-agent?"),
        ("b", "unknown_agent", "agent nobody is not known: check its name"),
    ]


async def test_what_nobody_counts_now_says_so(callers: Callers) -> None:
    names = ("ungoverned", "without-source", "idle")
    await callers.store.see_agents([AgentKnown(name) for name in names], callers.time)
    callers.policies.given = (
        a_policy(name="probed", agents=("without-source",)),
        replace(callers.rollout.policy, name="listens", agents=("idle",)),
    )
    taken = await callers.report(*(outcome(name, agent=name) for name in names))
    assert (taken["accepted"], taken["refused"], taken["counted"]) == (3, [], 0)
    assert not_counted(taken) == [
        ("ungoverned", "no_policy", "no policy governs agent ungoverned, so that nothing is on trial"),
        ("without-source", "no_source", "policy probed has no source outcomes: add 'outcomes: {}' to its sources"),
        ("idle", "no_rollout", "no rollout of agent idle is in progress: nothing is counted now"),
    ]


@pytest.mark.parametrize("seconds", [20, 180])
async def test_a_clock_that_is_behind_is_told_by_how_much(callers: Callers, seconds: int) -> None:
    callers.time = STEP + timedelta(seconds=1)
    at = (callers.time - timedelta(seconds=seconds)).isoformat()
    taken = await callers.report(outcome("a", at=at, ok=False), outcome("b", at=at))
    assert (taken["accepted"], taken["counted"]) == (2, 0)
    assert {result for _, result, _ in not_counted(taken)} == {"clock_behind"}
    how_far = "20s" if seconds == 20 else "3m"
    assert taken["clock"] == (
        f"the newest call began {how_far} ago: the caller's clock is behind, or it reports so late"
    )
    assert not_counted(taken)[0][2].endswith(taken["clock"])


async def test_a_call_of_an_earlier_step_beside_newer_ones_is_no_matter_of_clocks(callers: Callers) -> None:
    before, now = (STEP - timedelta(seconds=8)).isoformat(), callers.time.isoformat()
    taken = await callers.report(outcome("a", at=before), outcome("b", at=now))
    ((id_, result, why),) = not_counted(taken)
    assert (id_, result, taken["counted"], taken["clock"]) == ("a", "earlier_step", 1, None)
    assert why == "it began 8s before step 1 did, and a call counts for the step in which it begins"


async def test_a_clock_that_is_ahead_is_told_by_how_much(callers: Callers) -> None:
    far, near = (callers.time + timedelta(hours=5)).isoformat(), (callers.time + timedelta(seconds=30)).isoformat()
    taken = await callers.report(outcome("a", at=far), outcome("b", at=near))
    assert not_counted(taken) == [
        ("a", "clock_ahead", "it began 5h in the future: is the clock right, and the time zone?")
    ]
    assert taken["clock"] == "the newest call begins 5h in the future: the caller's clock is ahead"


async def test_what_the_answer_counts_is_what_the_source_counts(callers: Callers) -> None:
    callers.rollout = replace(callers.rollout, step_started_at=NOON)
    lease = await callers.store.claim("support-agent", NOON)
    assert lease
    await callers.store.record(lease, Record(rollout=callers.rollout, due_at=NOON + timedelta(hours=1)))
    await callers.store.release(lease)
    warming = (NOON + timedelta(seconds=5)).isoformat()
    older = (NOON - timedelta(minutes=5)).isoformat()
    taken = await callers.report(
        outcome("a", at=warming, ok=None, status=424),
        outcome("b", session="old", at=older),
        outcome("c", session="old"),
        outcome("d", session="new"),
        outcome("d", session="new"),
        outcome("e", "1"),
        outcome("f", "2", ok=False),
    )
    assert [(id_, result) for id_, result, _ in not_counted(taken)] == [
        ("a", "warming_up"),
        ("b", "clock_behind"),
        ("c", "old_session"),
        ("d", "duplicate"),
    ]
    seen = await callers.counted()
    assert taken["counted"] == seen.canary.calls + seen.stable.calls == 3


async def test_a_throttled_model_is_told_apart_by_the_error_that_callers_report(callers: Callers) -> None:
    await callers.report(
        outcome("a", ok=None, status=500, error="rate_limit_exceeded"),
        outcome("b", ok=False, error="insufficient_quota"),
        outcome("c", ok=False, status=500, error="server_error"),
        outcome("d", ok=True, error="rate_limit_exceeded"),
    )
    seen = (await callers.counted()).canary
    assert (seen.calls, seen.failures, seen.rate_limited) == (4, 3, 2)
    assert seen.causes == (("HTTP 500", 1), ("model rate limit", 2))


async def test_a_metric_counts_what_became_of_each(callers: Callers) -> None:
    await callers.report(outcome("a"), outcome("b", "v2"), outcome("c", "v1"))
    await callers.report(outcome("a"))
    rendered = callers.metrics.render()[0].decode()
    counts = (("counted", 1), ("unknown_version", 2), ("duplicate", 1), ("no_policy", 0))
    for result, count in counts:
        assert f'foundry_rollouts_outcomes_total{{result="{result}"}} {count}.0' in rendered


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

        async def old_sessions(self, agent: str, sessions: Sequence[str], since: datetime) -> list[str]:
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
