"""Starting a rollout over the ops API: asked once or twice, by whom, and what cannot be."""

import asyncio

import pytest
from dirty_equals import IsPartialDict

from unit.web.asking import START
from unit.web.served import Web


async def test_a_rollout_is_started(web: Web) -> None:
    answer = await web.client.post("/api/v1/rollouts", json=START)

    assert answer.status_code == 201
    started = answer.json()
    assert started == IsPartialDict(
        agent="support-agent",
        canary="2",
        stable="1",
        phase="pending",
        step=0,
        steps=3,
        weights={"1": 100},
        generation=1,
        because="api asked for version 2",
        policy="support",
        author="api",
        remaining=None,
    )
    assert answer.headers["location"] == f"/api/v1/rollouts/{started['id']}"
    shown = (await web.client.get(answer.headers["location"])).json()
    assert {**shown, "progress": None} == started
    assert web.wake.rings == 1


async def test_the_author_may_name_themselves(web: Web) -> None:
    answer = await web.client.post("/api/v1/rollouts", json={**START, "author": "alice"})

    assert answer.json() == IsPartialDict(author="alice", because="alice asked for version 2")


async def test_a_version_may_be_written_as_a_number(web: Web) -> None:
    answer = await web.client.post("/api/v1/rollouts", json={"agent": "support-agent", "version": 2})

    assert answer.json()["canary"] == "2"


async def test_the_same_idempotency_key_again_is_answered_the_same(web: Web) -> None:
    sent = [web.client.post("/api/v1/rollouts", json=START, headers={"Idempotency-Key": "build-41"}) for _ in range(2)]

    one, other = await asyncio.gather(*sent)

    assert (one.status_code, other.status_code) == (201, 201)
    assert one.json() == other.json()


async def test_a_start_of_a_version_on_trial_joins_its_rollout(web: Web) -> None:
    started = (await web.client.post("/api/v1/rollouts", json=START)).json()

    answer = await web.client.post("/api/v1/rollouts", json=START)

    assert (answer.status_code, answer.json()["joined"], started["joined"]) == (200, True, False)
    assert answer.json()["id"] == started["id"]
    assert answer.headers["location"] == f"/api/v1/rollouts/{started['id']}"
    listed = await web.client.get("/api/v1/rollouts", params={"agent": "support-agent", "version": "2"})
    assert [each["id"] for each in listed.json()["items"]] == [started["id"]]
    assert (await web.client.get("/api/v1/rollouts", params={"version": "3"})).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "status", "because"),
    [
        ({"agent": "nobody", "version": "2"}, 404, "agent 'nobody' is not known"),
        ({**START, "policy": "nothing"}, 404, "no policy nothing"),
        ({**START, "version": "1"}, 409, "version 1 is the stable version"),
        ({**START, "version": "@latest"}, 422, "name one version"),
        ({**START, "version": ".."}, 422, "this is no version id"),
        ({**START, "version": ""}, 422, "this is no version id"),
        ({**START, "version": "1\n2"}, 422, "this is no version id"),
        ({"agent": "support-agent"}, 422, "body.version: Field required"),
        ({**START, "weight": 5}, 422, "body.weight"),
        ({**START, "author": "two\nlines"}, 422, "body.author"),
        ([], 422, "body"),
    ],
)
async def test_a_start_that_cannot_be_is_a_problem(web: Web, body: object, status: int, because: str) -> None:
    answer = await web.client.post("/api/v1/rollouts", json=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert because in answer.json()["detail"]
    assert web.wake.rings == 0
