"""The stopped line and holds over the API and on pages: who may, what is said, what is recorded."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from dirty_equals import IsPartialDict

from builders import NOON, a_rollout
from fakes import FakeWake, stand
from foundry_rollouts.controller.brakes import BrakeFacts
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.services import Services
from unit.web.admitted import admitted
from unit.web.served import Web, client_of

STOP, START, LINE = "/api/v1/line:stop", "/api/v1/line:start", "/api/v1/line"
HOLD, UNHOLD = "/api/v1/agents/support-agent:hold", "/api/v1/agents/support-agent:unhold"
FROM_US = {"Origin": "http://127.0.0.1:8080"}
HELD = a_rollout(
    phase=Phase.PROGRESSING,
    step=1,
    started_at=NOON,
    step_started_at=NOON,
    held_by="line",
    because="kim stopped the line (incident 4711). Once that is over: proved",
    waiting_for="the line to start",
)


@pytest.fixture
async def line(store: SqlStore, services: Services) -> AsyncIterator[Web]:
    """The app of a service that reads what stands."""
    facts = BrakeFacts(store, Metrics("test"), timedelta(minutes=2))
    services = replace(services, brakes=facts)
    assert isinstance(services.wake, FakeWake)
    async with client_of(services) as client:
        yield Web(client, services, store, services.wake)
    await facts.aclose()


async def test_a_line_is_stopped_and_started_and_keeps_who_did_it(line: Web) -> None:
    assert (await line.client.get(LINE)).json() == {"is_stopped": False, "stops": [], "ended": [], "answer": None}
    asked = {"reason": "incident 4711", "until": "2026-03-02T17:00:00+01:00", "author": "kim"}
    answer = await line.client.post(STOP, json=asked)
    assert answer.status_code == 200
    said = "kim stopped the line (incident 4711) until 2026-03-02 16:00 UTC"
    stop = IsPartialDict(author="kim", reason="incident 4711", until="2026-03-02T16:00:00Z", project=None, because=said)
    assert answer.json() == IsPartialDict(is_stopped=True, stops=[stop], answer=said)
    again = (await line.client.post(STOP, json=asked)).json()
    assert again["stops"] == answer.json()["stops"]
    assert again["answer"] == f"{said}, since 2026-03-02 12:00 UTC"
    started = (await line.client.post(START, json={"author": "lee"})).json()
    assert started == IsPartialDict(is_stopped=False, stops=[], answer="lee started the line")
    assert started["ended"] == [IsPartialDict(author="kim", ended_by="lee")]
    once_more = (await line.client.post(START, json={"author": "lee"})).json()
    assert once_more == IsPartialDict(answer="the line was not stopped", ended=started["ended"])
    audit = (await line.client.get("/api/v1/audit")).json()["items"]
    assert [(each["action"], each["author"], each["subject"]) for each in audit][::-1] == [
        ("line.stop", "kim", "the line"),
        ("line.stop", "kim", "the line"),
        ("line.start", "lee", "the line"),
        ("line.start", "lee", "the line"),
    ]


@pytest.mark.parametrize(
    ("path", "asked", "status", "why"),
    [
        (STOP, {}, 422, "reason"),
        (STOP, {"reason": "so", "until": "2026-03-02T12:00:00Z"}, 422, "is over: name an end that lies ahead"),
        (STOP, {"reason": "so", "until": "9999-12-31T23:59:00-12:00"}, 422, "too far ahead"),
        (STOP, {"reason": "so", "until": "2026-03-02"}, 422, "until"),
        (STOP, {"reason": "so", "project": "shop"}, 422, "project 'shop' is not known here; there is one project"),
        (START, {"project": "shop"}, 422, "project 'shop' is not known here"),
        (HOLD, {"version": "2", "reason": "so"}, 409, "version 1 is its stable version; a hold keeps what is stable"),
        ("/api/v1/agents/nobody:hold", {"version": "2", "reason": "so"}, 404, "agent 'nobody' is not known"),
        ("/api/v1/agents/nobody:unhold", {}, 404, "agent 'nobody' is not known"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_says_why(
    line: Web, path: str, asked: dict[str, str], status: int, why: str
) -> None:
    answer = await line.client.post(path, json=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert why in answer.text
    assert await line.store.brakes() == []


async def test_one_of_several_projects_is_stopped_by_its_name(line: Web) -> None:
    async with client_of(replace(line.services, projects=("shop", "support"))) as client:
        await client.post(STOP, json={"reason": "so", "project": "shop", "author": "kim"})
        answer = (await client.post(START, json={"author": "lee"})).json()
        assert answer["answer"] == "the line was not stopped; still: kim stopped the line of project shop (so)"
        refused = await client.post(STOP, json={"reason": "so", "project": "chat"})
        assert "there are shop, support" in refused.text
        assert (await client.post(START, json={"project": "shop"})).json()["is_stopped"] is False


async def test_an_agent_is_held_and_its_row_says_so(line: Web) -> None:
    held = await line.client.post(HOLD, json={"version": 1, "reason": "the fair", "author": "kim"})
    said = "kim holds agent support-agent at version 1 (the fair)"
    assert held.json() == IsPartialDict(answer=said, items=[IsPartialDict(agent="support-agent", version="1")])
    assert (await line.client.get("/api/v1/holds")).json()["items"] == held.json()["items"]
    agent = (await line.client.get("/api/v1/agents/support-agent")).json()
    (listed,) = (await line.client.get("/api/v1/agents")).json()["items"]
    assert agent["holds"] == listed["holds"] == held.json()["items"]
    assert said in (await line.client.get("/")).text
    freed = (await line.client.post(UNHOLD, json={"author": "lee"})).json()
    assert freed == IsPartialDict(items=[], answer="lee ended the hold of agent support-agent")
    assert (await line.client.post(UNHOLD, json={})).json()["answer"] == "agent support-agent was not held"
    assert (await line.client.get("/api/v1/agents/support-agent")).json()["holds"] == []


async def test_every_page_says_that_the_line_is_stopped_and_operators_start_it_there(line: Web) -> None:
    await stand(line.store, HELD)
    await line.client.post(STOP, json={"reason": "incident <4711>", "author": "kim"})
    for path in ("/", "/history", "/policies", "/audit", "/line", "/rollouts/r-1", "/rollouts/none"):
        text = (await line.client.get(path)).text
        assert "<b>The line is stopped.</b>" in text, path
        assert "kim stopped the line (incident &lt;4711&gt;)." in text, path
        assert 'action="/ui/line:start"' in text, path
    for path in ("/", "/rollouts/r-1"):
        assert "Held: line" in (await line.client.get(path)).text
    done = await line.client.post("/ui/line:start", data={"project": ""}, headers=FROM_US)
    assert (done.status_code, done.headers["location"]) == (303, "/line")
    assert "The line is stopped." not in (await line.client.get("/")).text


async def test_a_viewer_sees_why_and_has_no_buttons(line: Web) -> None:
    await line.client.post(STOP, json={"reason": "incident 4711", "author": "kim"})
    known = await admitted(line.services)
    async with known.as_role(Role.VIEWER) as client:
        text = (await client.get("/line")).text
        assert "The line is stopped." in text
        assert "/ui/line:start" not in text
        assert "/ui/line:stop" not in text
        assert "need the role operator; yours is viewer" in text


async def test_forms_stop_hold_and_let_go_and_a_wrong_one_says_what_is_wrong(line: Web) -> None:
    async def send(path: str, **fields: str) -> int:
        answer = await line.client.post(path, data=fields, headers=FROM_US)
        assert answer.status_code == 303 or "Nothing was done: " in answer.text
        return answer.status_code

    assert await send("/ui/line:stop", reason="incident\t4711", hours="4") == 303
    assert await send("/ui/line:stop", hours="4") == 422
    assert await send("/ui/line:stop", reason="so", hours="four") == 422
    assert await send("/ui/line:stop", reason="so", hours="0") == 422
    assert await send("/ui/holds:hold", agent="support-agent", version="2", reason="so") == 409
    assert await send("/ui/holds:hold", agent="support-agent", version="1", reason="so") == 303
    page = (await line.client.get("/line")).text
    assert "api stopped the line (incident 4711) until 2026-03-02 16:00 UTC." in page
    assert "api holds agent support-agent at version 1 (so)." in page
    assert await send("/ui/holds:unhold", agent="support-agent") == 303
    assert [each.scope.agent for each in await line.store.brakes()] == [None]
    assert "What ended" in (await line.client.get("/line")).text
    outcomes = [(each["action"], each["outcome"]) for each in (await line.client.get("/api/v1/audit")).json()["items"]]
    assert outcomes.count(("line.stop", "refused")) == 3
    assert outcomes.count(("agent.hold", "refused")) == 1
