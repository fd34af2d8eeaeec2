"""Outcomes that do not count, and what is said about each."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy
from contract.callers import STEP, Callers, outcome
from foundry_rollouts.core.model.measurement import Counts
from foundry_rollouts.ports import AgentKnown, Record


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


async def test_a_metric_counts_what_became_of_each(callers: Callers) -> None:
    await callers.report(outcome("a"), outcome("b", "v2"), outcome("c", "v1"))
    await callers.report(outcome("a"))
    rendered = callers.metrics.render()[0].decode()
    counts = (("counted", 1), ("unknown_version", 2), ("duplicate", 1), ("no_policy", 0))
    for result, count in counts:
        assert f'foundry_rollouts_outcomes_total{{result="{result}"}} {count}.0' in rendered


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
