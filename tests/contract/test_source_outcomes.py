"""Outcomes from the caller's request through the database into counts, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NOON
from contract.callers import STEP, Callers, outcome
from foundry_rollouts.core.model.measurement import Counts, Window
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import AgentKnown, Outcome, Record, Reports
from foundry_rollouts.ports.outcomes import STARTUP_BUDGET
from foundry_rollouts.signals.outcomes import LATE, OutcomeSource
from foundry_rollouts.store.outcomes import KEPT
from foundry_rollouts.store.store import SqlStore


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
    due: list[str] = []

    def hear(agents: Sequence[str]) -> Sequence[str]:
        due.extend(agents)
        return agents

    callers.store.hear_here(hear)
    await callers.report(outcome("a"), outcome("b", "1", ok=False), outcome("c", agent="other", ok=False))
    assert due == []
    assert await callers.store.claim_due(callers.time, 10) == []
    await callers.report(outcome("d", ok=False))
    assert due == ["support-agent"]
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


@pytest.mark.parametrize("status", [424, 408, 502, 504])
async def test_a_version_that_warms_up_has_its_allowance(callers: Callers, status: int) -> None:
    callers.rollout = replace(callers.rollout, step_started_at=NOON)
    cold: dict[str, Any] = {"ok": None, "status": status}
    in_time = (NOON + STARTUP_BUDGET - timedelta(seconds=1)).isoformat()
    await callers.report(outcome("a", at=in_time, **cold), outcome("b", **cold))
    assert (await callers.counted()).canary.causes == ((f"HTTP {status}", 1),)


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


async def test_windows_that_are_asked_for_together_are_each_ones_own(store: SqlStore) -> None:
    reported = [
        replace(a_call(f"{agent}-{second}", agent, second), session=f"s-{second % 3}")
        for agent in ("a", "b", "c")
        for second in range(0, 600, 7)
    ]
    await store.report(reported)
    windows = [
        Reports(agent, NOON + timedelta(seconds=begin), NOON + timedelta(seconds=end), NOON + timedelta(seconds=since))
        for agent in ("a", "b", "c", "unseen")
        for begin, end, since in ((0, 60, 0), (30, 600, 0), (590, 600, 1), (599, 600, 8), (100, 101, 0))
    ]
    together = await asyncio.gather(*(store.outcomes(window) for window in windows))
    for window, found in zip(windows, together, strict=True):
        first = {each.session: each.at for each in reversed(reported) if each.agent == window.agent}
        wanted = [
            each
            for each in reported
            if each.agent == window.agent
            and window.received_from <= each.received_at < window.received_until
            and first[each.session] >= window.sessions_since
        ]
        assert list(found) == wanted == list(await store.outcomes(window))
    times = [NOON + timedelta(seconds=second) for second in (0, 1, 8, 15)]
    old = await asyncio.gather(*(store.old_sessions("a", ["s-0", "s-1", "s-2", "none"], at) for at in times))
    assert list(map(list, old)) == [[], ["s-0"], ["s-0", "s-1"], ["s-0", "s-1", "s-2"]]


def a_call(id_: str, agent: str, second: int) -> Outcome:
    at = NOON + timedelta(seconds=second)
    return Outcome(id_, agent, "2", at, at, cause=None)
