"""What who watches many agents reads: pages, groups, everything that happens, CSV, conditional reads, problem pages."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from dirty_equals import IsPartialDict
from httpx_sse import aconnect_sse

from builders import NOON, a_policy, a_rollout
from fakes import FakePolicies, record, stand
from foundry_rollouts.core.model.event import WAITING, Event, of_rollout
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import AgentKnown, Record
from foundry_rollouts.web.problem_pages import PAGES
from unit.web.served import Web, client_of, served

PROGRESSING = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)
NAMES = ("calm-a", "calm-b", "moving", "paused", "rolled-back", "unreadable")


@pytest.fixture
async def town(web: Web) -> Web:
    """Six agents beside the one that every test has: two are calm, one moves, three need a person."""
    known = [AgentKnown(name, latest="7", routing=Routing.of({"6": 100}), policy="support") for name in NAMES]
    await web.store.see_agents(known, NOON, is_whole=False)
    await stand(web.store, replace(PROGRESSING, id="r-m", agent="moving"))
    await stand(
        web.store,
        replace(PROGRESSING, id="r-p", agent="paused", phase=Phase.PAUSED, waiting_for="a person: resume or abort"),
    )
    bad = replace(PROGRESSING, id="r-b", agent="rolled-back", phase=Phase.ROLLED_BACK, ended_at=NOON)
    await stand(web.store, replace(bad, because="=1+1 of 3 failed"))
    lease = await web.store.claim("unreadable", NOON)
    assert lease is not None
    await web.store.record(lease, Record(unreadable="its rules are unknown"))
    return web


async def names(web: Web, **which: str | int) -> list[str]:
    answer = await web.client.get("/api/v1/agents", params=which)
    assert answer.status_code == 200, answer.text
    return [agent["name"] for agent in answer.json()["items"]]


async def test_agents_come_by_need(town: Web) -> None:
    assert await names(town, group="look") == ["paused", "rolled-back", "unreadable"]
    assert await names(town, group="moving") == ["moving"]
    assert await names(town, group="quiet") == ["calm-a", "calm-b", "support-agent"]


async def test_agents_come_in_pages_and_are_searched(town: Web) -> None:
    first = (await town.client.get("/api/v1/agents", params={"limit": 4})).json()
    second = (await town.client.get("/api/v1/agents", params={"limit": 4, "after": first["next"]})).json()
    assert [each["name"] for each in first["items"] + second["items"]] == [*NAMES[:5], "support-agent", "unreadable"]
    assert (first["total"], second["total"], second["next"]) == (7, 7, None)
    assert await names(town, words="CALM") == ["calm-a", "calm-b"]
    assert await names(town, words="%") == []


async def test_rollouts_are_found_by_policy_time_and_words_and_come_as_csv(town: Web) -> None:
    async def ids(**which: str) -> list[str]:
        answer = await town.client.get("/api/v1/rollouts", params=which)
        return [each["id"] for each in answer.json()["items"]]

    assert await ids(words="of 3 FAILED") == ["r-b"]
    assert await ids(policy="another") == []
    assert len(await ids(policy="support", since="2026-03-02T12:00:00Z")) == 3
    assert await ids(until="2026-03-02T12:00:00Z") == []
    answer = await town.client.get("/api/v1/rollouts", params={"limit": 1}, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    head, *rows = answer.text.splitlines()
    assert head.startswith("id,agent,canary,stable,phase")
    assert len(rows) == 3
    assert any(row.endswith(",'=1+1 of 3 failed") for row in rows)  # no formula for a spreadsheet


async def test_events_of_all_agents_come_in_pages(town: Web) -> None:
    first = (await town.client.get("/api/v1/events", params={"limit": 2})).json()
    second = (await town.client.get("/api/v1/events", params={"limit": 2, "after": first["next"]})).json()
    assert [each["rollout"] for each in first["items"] + second["items"]] == ["r-m", "r-p", "r-b"]
    assert second["next"] is None
    assert (await town.client.get("/api/v1/events", params={"after": "nothing"})).status_code == 404


async def test_an_event_says_what_it_is_about_and_whom_it_waits_for(town: Web) -> None:
    rollout = await town.store.rollout("r-m")
    event = of_rollout(rollout, WAITING, "a person decides", NOON, "wait")
    await town.store.create(replace(rollout, id="r-w", agent="other"), replace(event, waits_for="person"), None)
    last = (await town.client.get("/api/v1/events", params={"limit": 500})).json()["items"][-1]
    about = {name: last[name] for name in ("rollout", "canary", "stable", "policy", "policy_hash", "phase", "for")}
    assert about == {
        "rollout": "r-m",
        "canary": rollout.canary,
        "stable": rollout.stable,
        "policy": rollout.policy.name,
        "policy_hash": policy_hash(rollout.policy),
        "phase": rollout.phase.value,
        "for": "person",
    }
    assert "waits_for" not in last


async def pages(web: Web, path: str, cursor: str) -> list[list[object]]:
    """Return every page of two of a listing."""
    found: list[list[object]] = []
    onward: dict[str, str] = {}
    while True:
        page = (await web.client.get(path, params={"limit": 2, **onward})).json()
        found.append(page["items"])
        if page["next"] is None:
            return found
        onward = {cursor: page["next"]}


async def test_the_history_of_a_rollout_comes_in_pages_and_whole_without_a_limit(web: Web) -> None:
    rollout = await stand(web.store, PROGRESSING)
    events = [Event(f"r-1:{each}", NOON, "rollout.held", rollout.agent, "it holds", "r-1") for each in range(2, 7)]
    for event in events:
        await record(web.store, rollout.agent, Record(rollout=rollout, event=event))
    path = "/api/v1/rollouts/r-1/events"
    whole = (await web.client.get(path)).json()
    assert (len(whole["items"]), whole["next"]) == (6, None)
    assert await pages(web, path, "after") == [whole["items"][:2], whole["items"][2:4], whole["items"][4:]]
    assert (await web.client.get(path, params={"after": "nothing"})).status_code == 404


async def test_measurements_come_in_pages_from_the_newest_back(web: Web) -> None:
    rollout = await stand(web.store, PROGRESSING)
    starts = [NOON + timedelta(seconds=10 * each) for each in range(5)]
    measured = [
        Measurement("probe", Window(start, start + timedelta(seconds=10)), Counts(4), Counts(5)) for start in starts
    ]
    await record(web.store, rollout.agent, Record(rollout=rollout, measurements=tuple(measured)))
    path = "/api/v1/rollouts/r-1/measurements"
    whole = (await web.client.get(path)).json()
    assert (len(whole["items"]), whole["next"]) == (5, None)
    assert await pages(web, path, "before") == [whole["items"][3:], whole["items"][1:3], whole["items"][:1]]


async def test_policies_come_in_pages(web: Web) -> None:
    policies = tuple(a_policy(name=name) for name in ("a", "b", "c"))
    async with client_of(replace(web.services, policies=FakePolicies(policies))) as client:
        town = replace(web, client=client)
        whole = (await client.get("/api/v1/policies")).json()
        assert ([each["name"] for each in whole["items"]], whole["next"]) == (["a", "b", "c"], None)
        assert await pages(town, "/api/v1/policies", "after") == [whole["items"][:2], whole["items"][2:]]
        assert (await client.get("/api/v1/policies", params={"after": "nothing"})).status_code == 404


async def test_everything_that_happens_is_streamed_and_continues_behind_the_last_event(web: Web) -> None:
    await stand(web.store, PROGRESSING)
    services = replace(web.services, check_every=timedelta(milliseconds=20))
    async with served(services) as (client, _):
        live = {"Accept": "text/event-stream"}
        async with aconnect_sse(client, "GET", "/api/v1/events", headers=live) as stream:
            told = stream.aiter_sse()
            await stand(web.store, replace(PROGRESSING, id="r-2", agent="other"))
            event = await asyncio.wait_for(anext(told), 10)
            assert (event.id, event.event) == ("r-2:1", "rollout.progressing")
        await stand(web.store, replace(PROGRESSING, id="r-3", agent="third"))
        behind = {**live, "Last-Event-ID": "r-2:1"}
        async with aconnect_sse(client, "GET", "/api/v1/events", headers=behind) as stream:
            event = await asyncio.wait_for(anext(stream.aiter_sse()), 10)
            assert event.id == "r-3:1"


async def test_who_has_an_answer_already_is_told_so(web: Web) -> None:
    await stand(web.store, replace(PROGRESSING, phase=Phase.PROMOTED, ended_at=NOON))
    first = await web.client.get("/api/v1/rollouts/r-1")
    tag = first.headers["etag"]
    for known in (tag, f'W/{tag}, "other"', "*"):
        again = await web.client.get("/api/v1/rollouts/r-1", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await web.client.get("/api/v1/rollouts/r-1", headers={"If-None-Match": '"other"'})).json() == first.json()
    assert "etag" not in (await web.client.get("/api/v1/rollouts/nothing")).headers


@pytest.mark.parametrize("kind", PAGES, ids=lambda kind: kind.name)
async def test_each_kind_of_problem_has_a_page(web: Web, kind: object) -> None:
    page = next(each for each in PAGES if each is kind)
    answer = await web.client.get(f"/problems/{page.name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert page.means in answer.text


async def test_the_type_of_a_problem_leads_to_its_page(web: Web) -> None:
    problem = (await web.client.get("/api/v1/rollouts/nothing")).json()
    assert problem == IsPartialDict(type="/problems/not-found", status=404)
    assert "There is no such rollout" in (await web.client.get(problem["type"])).text
    assert (await web.client.get("/problems/nothing")).status_code == 404


async def test_the_openapi_text_has_an_example_of_each_problem_and_of_what_commands_take(web: Web) -> None:
    described = (await web.client.get("/api/openapi.json")).json()
    operations = [each for path, methods in described["paths"].items() if "/v1/" in path for each in methods.values()]
    problems = [
        (int(status), answer["content"]["application/problem+json"]["example"])
        for operation in operations
        for status, answer in operation["responses"].items()
        if int(status) >= 400
    ]
    assert len(problems) > len(operations)
    assert all(example["status"] == status for status, example in problems)
    for name in ("StartRequest", "CommandRequest", "AcknowledgeRequest", "OutcomeBatch", "TokenRequest"):
        assert described["components"]["schemas"][name]["examples"], name
