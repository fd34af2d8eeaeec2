"""A rollout that ended badly stays on top until somebody acknowledges it by name."""

from dataclasses import replace
from datetime import timedelta

import pytest
from dirty_equals import IsPartialDict

from builders import NOON, a_rollout
from fakes import record, stand
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.ports import Record
from unit.web.served import Web

BAD = a_rollout(
    phase=Phase.ROLLED_BACK, step=1, generation=4, started_at=NOON, ended_at=NOON, because="18 of 60 failed"
)
ACKNOWLEDGE = "/api/v1/rollouts/r-1:acknowledge"


async def agent(web: Web) -> dict[str, object]:
    found: dict[str, object] = (await web.client.get("/api/v1/agents/support-agent")).json()
    return found


async def test_a_bad_end_is_on_top_until_somebody_knows(web: Web) -> None:
    await stand(web.store, BAD)
    before = await agent(web)
    assert before["unacknowledged"] == IsPartialDict(id="r-1", phase="rolled_back", acknowledged=None)
    assert before["unacknowledged_because"] == "users have 1, you released 2, because 18 of 60 failed"
    assert await web.store.unacknowledged_counts() == {"support-agent": 1}

    answer = await web.client.post(ACKNOWLEDGE, json={"generation": 4, "author": "kim", "reason": "bug 7"})

    assert answer.status_code == 200
    known = {"by": "kim", "at": "2026-03-02T12:00:00Z", "reason": "bug 7"}
    assert answer.json() == IsPartialDict(id="r-1", acknowledged=known, answer=None)
    assert (await web.client.get("/api/v1/rollouts/r-1")).json()["acknowledged"] == known
    (listed,) = (await web.client.get("/api/v1/rollouts")).json()["items"]
    assert listed["acknowledged"] == known
    after = await agent(web)
    assert (after["unacknowledged"], after["unacknowledged_because"]) == (None, None)
    assert await web.store.unacknowledged_counts() == {}
    *_, event = (await web.client.get("/api/v1/rollouts/r-1/events")).json()["items"]
    assert event == IsPartialDict(
        id="r-1:acknowledged", kind="rollout.acknowledged", author="kim", because="kim acknowledged it: bug 7"
    )


async def test_said_again_it_changes_nothing_and_says_who_knew_first(web: Web) -> None:
    await stand(web.store, BAD)
    for author in ("kim", "lee"):
        answer = await web.client.post(ACKNOWLEDGE, json={"author": author})
        assert answer.status_code == 200
    assert answer.json()["acknowledged"]["by"] == "kim"
    assert answer.json()["answer"] == "kim acknowledged it already, at 2026-03-02 12:00:00 UTC"
    kinds = [each["kind"] for each in (await web.client.get("/api/v1/rollouts/r-1/events")).json()["items"]]
    assert kinds.count("rollout.acknowledged") == 1


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PROMOTED, Phase.ABORTED, Phase.SUPERSEDED])
async def test_there_is_nothing_to_acknowledge_but_a_bad_end(web: Web, phase: Phase) -> None:
    await stand(web.store, replace(BAD, phase=phase))
    answer = await web.client.post(ACKNOWLEDGE, json={})
    assert answer.status_code == 409
    assert answer.json()["current"]["phase"] == phase
    assert (await agent(web))["unacknowledged"] is None


async def test_a_stale_generation_is_a_conflict(web: Web) -> None:
    await stand(web.store, BAD)
    answer = await web.client.post(ACKNOWLEDGE, json={"generation": 3})
    assert answer.status_code == 409
    assert "is at generation 4, not 3" in answer.json()["detail"]


async def test_a_later_promotion_ends_the_need_and_a_later_bad_end_is_the_newer_one(web: Web) -> None:
    await stand(web.store, BAD)
    later = replace(BAD, id="r-2", canary="3", created_at=NOON + timedelta(hours=1), phase=Phase.FAILED)
    await stand(web.store, later)
    assert (await agent(web))["unacknowledged"] == IsPartialDict(id="r-2")
    assert await web.store.unacknowledged_counts() == {"support-agent": 2}
    await stand(web.store, replace(later, id="r-3", created_at=NOON + timedelta(hours=2), phase=Phase.PROMOTED))
    assert (await agent(web))["unacknowledged"] is None


async def test_who_knows_of_the_newest_knows_of_those_before(web: Web) -> None:
    await stand(web.store, BAD)
    await stand(web.store, replace(BAD, id="r-2", created_at=NOON + timedelta(hours=1)))
    await web.client.post("/api/v1/rollouts/r-2:acknowledge", json={"author": "kim"})
    assert await web.store.unacknowledged_counts() == {}


async def test_an_agent_that_was_made_again_has_nothing_to_acknowledge(web: Web) -> None:
    await stand(web.store, BAD)
    await record(web.store, "support-agent", Record(incarnation=2))
    assert (await agent(web))["unacknowledged"] is None
    assert await web.store.unacknowledged_counts() == {}


@pytest.mark.parametrize(
    ("but", "lesson"),
    [
        ({"phase": Phase.DISABLED}, "users are refused, you released 2, because 18 of 60 failed"),
        ({"phase": Phase.FAILED, "stable": None}, "users have no version, you released 2, because 18 of 60 failed"),
    ],
)
async def test_the_sentence_says_what_users_have(web: Web, but: dict[str, object], lesson: str) -> None:
    await stand(web.store, replace(BAD, **but))  # type: ignore[arg-type]
    assert (await agent(web))["unacknowledged_because"] == lesson


def test_the_metric_has_a_series_for_each_agent_that_waits_and_lets_it_go(web: Web) -> None:
    metrics = web.services.metrics
    metrics.unacknowledged({"support-agent": 2})
    name = "foundry_rollouts_unacknowledged_rollbacks"
    assert metrics.registry.get_sample_value(name, {"agent": "support-agent"}) == 2
    metrics.unacknowledged({})
    assert metrics.registry.get_sample_value(name, {"agent": "support-agent"}) is None
