"""The ops API: what is asked, what is answered."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from dirty_equals import IsPartialDict, IsStr

from builders import NOON, a_policy, a_rollout
from fakes import FakePolicies, record, stand
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.lists import AgentGroup
from foundry_rollouts.ports import Record
from unit.web.asking import PROGRESSING, START, command
from unit.web.served import Web


async def test_a_command_may_wait_for_its_tick_and_is_open_until_then(web: Web) -> None:
    started = (await web.client.post("/api/v1/rollouts", json=START)).json()

    at = f"/api/v1/rollouts/{started['id']}"
    answer = await web.client.post(
        f"{at}:abort", json={"generation": 1, "author": "kim"}, headers={"Prefer": "respond-async, wait=5"}
    )

    assert (answer.status_code, answer.json()["generation"]) == (202, 2)
    assert answer.json()["answer"].startswith("asked to abort, accepted and not done yet: it waits for ")
    [open_command] = (await web.client.get(at)).json()["open_commands"]
    assert (open_command["verb"], open_command["author"]) == ("abort", "kim")


async def test_one_agent_comes_with_the_rollout_in_hand_and_how_many_wait(web: Web) -> None:
    for version in ("2", "3"):
        await web.client.post("/api/v1/rollouts", json={**START, "version": version})

    agent = (await web.client.get("/api/v1/agents/support-agent")).json()

    assert agent["rollout"]["canary"] in {"2", "3"}  # Both began at one instant.
    assert agent["queued"] == 1
    assert (await web.client.get("/api/v1/agents/nobody")).status_code == 404


@pytest.mark.parametrize("verb", [Verb.PAUSE, Verb.PROMOTE, Verb.ABORT])
async def test_a_command_is_accepted_and_wakes_the_controller(web: Web, verb: Verb) -> None:
    await stand(web.store, PROGRESSING)

    answer = await command(web, verb, author="alice", reason="it looks odd")

    assert answer.status_code == 202
    assert answer.json() == IsPartialDict(id="r-1", phase="progressing", generation=4)
    [waiting] = await web.store.commands("r-1")
    assert (waiting.verb, waiting.author, waiting.reason) == (verb, "alice", "it looks odd")
    assert web.wake.rings == 1


async def test_of_two_promotes_at_one_generation_one_is_accepted_and_one_conflicts(web: Web) -> None:
    await stand(web.store, PROGRESSING)

    answers = await asyncio.gather(command(web, "promote"), command(web, "promote"))

    accepted, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert (accepted.status_code, refused.status_code) == (202, 409)
    assert refused.json()["current"] == accepted.json()
    assert len(await web.store.commands("r-1")) == 1


async def test_a_command_with_a_key_is_accepted_twice_and_acts_once(web: Web) -> None:
    await stand(web.store, PROGRESSING)
    key = {"Idempotency-Key": "k"}
    sent = [web.client.post("/api/v1/rollouts/r-1:pause", json={"generation": 3}, headers=key) for _ in range(2)]

    answers = await asyncio.gather(*sent)

    assert [answer.status_code for answer in answers] == [202, 202]
    assert len(await web.store.commands("r-1")) == 1


async def test_a_stale_command_is_answered_with_the_rollout_as_it_is(web: Web) -> None:
    await stand(web.store, PROGRESSING)

    answer = await command(web, "pause", generation=2)

    assert answer.status_code == 409
    assert answer.json() == {
        "type": "/problems/conflict",
        "title": "Conflict",
        "status": 409,
        "detail": IsStr(regex=".*generation 2.*generation 3.*"),
        "instance": "/api/v1/rollouts/r-1:pause",
        "current": IsPartialDict(id="r-1", generation=3, phase="progressing"),
    }
    assert web.wake.rings == 0


@pytest.mark.parametrize("verb", ["resume", "approve", "retry"])
async def test_a_command_that_makes_no_sense_is_a_conflict(web: Web, verb: str) -> None:
    await stand(web.store, PROGRESSING)

    answer = await command(web, verb)

    assert answer.status_code == 409
    assert answer.json()["current"]["id"] == "r-1"


async def test_a_retry_answers_with_the_new_rollout(web: Web) -> None:
    await stand(web.store, replace(PROGRESSING, phase=Phase.ROLLED_BACK, ended_at=NOON))

    answer = await command(web, "retry", reason="the fault was ours")

    assert answer.status_code == 202
    assert answer.json() == IsPartialDict(canary="2", phase="pending", generation=1)
    assert answer.json()["id"] != "r-1"
    assert web.wake.rings == 1


@pytest.mark.parametrize("generation", [0, -1, "x", None, 1.5])
async def test_a_generation_that_is_none_is_refused(web: Web, generation: object) -> None:
    answer = await web.client.post("/api/v1/rollouts/r-1:pause", json={"generation": generation})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.generation"


@pytest.mark.parametrize("path", ["", "/events", "/measurements"])
async def test_an_unknown_rollout_is_not_found(web: Web, path: str) -> None:
    answer = await web.client.get(f"/api/v1/rollouts/nothing{path}")

    assert answer.status_code == 404
    assert "no rollout nothing" in answer.json()["detail"]


async def test_rollouts_are_listed_by_agent_and_phase_in_pages(web: Web) -> None:
    for number in range(3):
        created = NOON + timedelta(seconds=number)
        await stand(web.store, a_rollout(id=f"r-{number}", canary=f"c{number}", created_at=created))
    await stand(web.store, a_rollout(id="r-9", agent="other", phase=Phase.PAUSED))
    which = {"agent": "support-agent", "phase": "pending", "limit": "2"}

    first = (await web.client.get("/api/v1/rollouts", params=which)).json()
    second = (await web.client.get("/api/v1/rollouts", params={**which, "before": first["next"]})).json()

    assert [rollout["id"] for rollout in first["items"] + second["items"]] == ["r-2", "r-1", "r-0"]
    assert second["next"] is None


@pytest.mark.parametrize("which", [{"phase": "happy"}, {"limit": 0}, {"limit": 201}])
async def test_a_listing_that_cannot_be_is_refused(web: Web, which: dict[str, str]) -> None:
    answer = await web.client.get("/api/v1/rollouts", params=which)

    assert answer.status_code == 422


async def test_agents_that_are_gone_are_listed_as_such_and_stand_in_no_group(web: Web) -> None:
    await web.store.see_agents([], NOON + timedelta(days=1))

    listed = (await web.client.get("/api/v1/agents")).json()
    groups = [(await web.client.get("/api/v1/agents", params={"group": each.value})).json() for each in AgentGroup]

    assert [(each["name"], each["is_gone"]) for each in listed["items"]] == [("support-agent", True)]
    assert listed["total"] == 1
    assert [(each["items"], each["total"]) for each in groups] == [([], 0)] * 3


async def test_agents_come_with_routing_policy_and_rollout(web: Web) -> None:
    await stand(web.store, PROGRESSING)

    [agent] = (await web.client.get("/api/v1/agents")).json()["items"]

    assert agent == IsPartialDict(
        name="support-agent",
        stable="1",
        latest="2",
        routing={"weights": {"1": 100}, "is_open": True, "is_pinned": True},
        policy="support",
        rollout=IsPartialDict(id="r-1", phase="progressing", weights={"1": 90, "2": 10}),
    )


async def test_policies_come_with_what_is_wrong_with_the_others(web: Web) -> None:
    answer = (await web.client.get("/api/v1/policies")).json()

    assert [policy["name"] for policy in answer["items"]] == ["support"]
    assert [step["weight"] for step in answer["items"][0]["steps"]] == [10, 50, 100]
    assert answer["problems"] == []


async def test_policies_that_name_the_same_agents_equally_are_shown(web: Web) -> None:
    assert (await web.client.get("/api/v1/policies")).json()["ties"] == []
    policies = web.services.policies
    assert isinstance(policies, FakePolicies)
    policies.given = (a_policy(name="east", agents=("*-eu",)), a_policy(name="all", agents=("sup*",)))
    (tie,) = (await web.client.get("/api/v1/policies")).json()["ties"]
    assert tie.startswith("agents such as 'sup-eu' are named by policies east and all equally: ")


async def test_the_history_tells_what_happened(web: Web) -> None:
    await stand(web.store, replace(PROGRESSING, because="version 2 is active"))

    answer = (await web.client.get("/api/v1/rollouts/r-1/events")).json()

    assert answer == {
        "items": [
            IsPartialDict(
                id="r-1:1",
                at="2026-03-02T12:00:00Z",
                kind="rollout.progressing",
                because="version 2 is active",
                step=1,
                weights={"1": 90, "2": 10},
            )
        ],
        "next": None,
    }


async def test_measurements_tell_what_was_counted(web: Web) -> None:
    rollout = await stand(web.store, PROGRESSING)
    counted = Measurement(
        "probe", Window(NOON, NOON + timedelta(seconds=10)), Counts(4), Counts(5, 1, causes=(("HTTP 500", 1),))
    )
    await record(web.store, rollout.agent, Record(rollout=rollout, measurements=(counted,)))

    [shown] = (await web.client.get("/api/v1/rollouts/r-1/measurements")).json()["items"]

    assert shown == IsPartialDict(
        source="probe",
        stable=IsPartialDict(calls=4, failures=0),
        canary=IsPartialDict(calls=5, failures=1, causes={"HTTP 500": 1}),
    )


async def test_the_openapi_text_names_every_route_of_the_contract(web: Web) -> None:
    described = (await web.client.get("/api/openapi.json")).json()

    routes = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    rollout = "/api/v1/rollouts/{rollout_id}"
    verbs = ("pause", "resume", "approve", "promote", "abort", "retry", "acknowledge")
    assert routes == {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/me"),
        ("GET", "/api/v1/targets"),
        ("POST", "/api/v1/targets/{target_name}:test"),
        ("GET", "/api/v1/agents"),
        ("GET", "/api/v1/agents/{agent_name}"),
        *(("POST", f"/api/v1/agents/{{agent_name}}:{verb}") for verb in ("hold", "unhold")),
        ("GET", "/api/v1/holds"),
        ("GET", "/api/v1/line"),
        *(("POST", f"/api/v1/line:{verb}") for verb in ("start", "stop")),
        ("GET", "/api/v1/policies"),
        ("GET", "/api/v1/policies/{policy_name}"),
        ("GET", "/api/v1/audit"),
        ("GET", "/api/v1/events"),
        ("GET", "/api/v1/rollouts"),
        ("POST", "/api/v1/rollouts"),
        ("POST", "/api/v1/outcomes"),
        ("GET", "/api/v1/tokens"),
        ("POST", "/api/v1/tokens"),
        ("POST", "/api/v1/tokens/{token_id}:revoke"),
        ("GET", rollout),
        ("GET", f"{rollout}/events"),
        ("GET", f"{rollout}/measurements"),
        ("GET", f"{rollout}/explain"),
        ("GET", f"{rollout}/series"),
        ("GET", f"{rollout}/logs"),
        *(("POST", f"{rollout}:{verb}") for verb in verbs),
    }
