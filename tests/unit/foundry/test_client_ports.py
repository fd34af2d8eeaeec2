"""What the controller and the sources get from the client."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.ports import AgentSeen, VersionSeen, VersionStatus
from unit.foundry.scripted import a_session, a_version, an_agent, ok, refused, scripted


async def test_agents_are_read_page_by_page_with_routing_and_latest() -> None:
    client, cloud = scripted(
        ok({"data": [an_agent("a", {"1": 90, "2": 10}, "2")], "last_id": "a", "has_more": True}),
        ok({"data": [an_agent("b", state="disabled")], "last_id": "b", "has_more": False}),
    )
    seen = [agent async for agent in client.agents()]
    assert seen[0] == AgentSeen(
        "a",
        Routing.of({"1": 90, "2": 10}),
        VersionSeen("2", VersionStatus.ACTIVE, None, None, is_draft=False),
        Marks(versions=(("2", None),)),
        settings="{}",
    )
    assert not seen[1].routing.is_open
    assert cloud.lines == ["GET /agents?limit=100", "GET /agents?limit=100&after=a"]


async def test_an_agent_whose_endpoint_is_not_in_the_list_is_looked_at_by_itself() -> None:
    bare = an_agent("a")
    del bare["agent_endpoint"]
    client, cloud = scripted(ok({"data": [bare]}), ok(an_agent("a", {"3": 100})))
    assert [agent.routing async for agent in client.agents()] == [Routing.of({"3": 100})]
    assert cloud.lines[-1] == "GET /agents/a"


@pytest.mark.parametrize("field", ["state", "configuration_state"])
async def test_an_agent_disabled_by_either_state_is_closed(field: str) -> None:
    client, _ = scripted(ok(an_agent() | {field: "disabled"}))
    assert not (await client.agent("a")).routing.is_open


async def test_a_server_that_ignores_the_cursor_is_not_asked_for_ever() -> None:
    page = {"data": [an_agent("a")], "last_id": "a", "has_more": True}
    client, cloud = scripted(ok(page), ok(page))
    assert [agent.name async for agent in client.agents()] == ["a"]
    assert cloud.is_over


async def test_routing_sends_the_weights_and_nothing_else() -> None:
    client, cloud = scripted(ok(an_agent()))
    await client.route("a", Routing.of({"1": 90, "2": 10}))
    assert cloud.lines == ["PATCH /agents/a"]
    assert cloud.asked[0].headers["content-type"] == "application/merge-patch+json"
    assert cloud.body() == {
        "agent_endpoint": {
            "version_selector": {
                "version_selection_rules": [
                    {"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 90},
                    {"type": "FixedRatio", "agent_version": "2", "traffic_percentage": 10},
                ]
            }
        }
    }


@pytest.mark.parametrize("weights", [{}, {"1": 99}, {"1": 110, "2": -10}, {"1": 50, "draft-17": 50}])
async def test_routing_that_cannot_be_meant_is_not_sent(weights: dict[str, int]) -> None:
    client, cloud = scripted()
    with pytest.raises(UsageError):
        await client.route("a", Routing.of(weights))
    assert cloud.asked == []


async def test_enable_and_disable_keep_the_literal_colon() -> None:
    client, cloud = scripted(httpx.Response(204), httpx.Response(204))
    await client.enable("a")
    await client.disable("a")
    assert cloud.lines == ["POST /agents/a:enable", "POST /agents/a:disable"]


async def test_a_failed_version_without_a_reason_is_asked_for_its_reason() -> None:
    why = {"code": "ImageError", "message": "pull\n  failed"}
    client, cloud = scripted(ok(a_version("3", "failed")), ok(a_version("3", "failed", error=why)))
    assert (await client.version("a", "3")).error == "ImageError: pull failed"
    assert [request.url.params["api-version"] for request in cloud.asked] == ["v1", "2025-11-15-preview"]


async def test_an_unknown_status_is_unknown() -> None:
    client, _ = scripted(ok(a_version("3", "pondering")))
    assert (await client.version("a", "3")).status is VersionStatus.UNKNOWN


async def test_a_missing_agent_is_told_as_missing() -> None:
    client, _ = scripted(refused(404, "not_found", "Agent 'x' not found", x_request_id="r-1"))
    with pytest.raises(CloudError) as told:
        await client.agent("x")
    assert told.value.is_missing
    assert str(told.value) == "agents.get: HTTP 404 not_found: Agent 'x' not found (request r-1)"


async def test_a_session_is_opened_on_the_version_that_was_named() -> None:
    client, cloud = scripted(ok(a_session("session-1", "2", "Creating"), 201))
    seen = await client.open_session("a", "2", "session-1")
    assert (seen.id, seen.version, seen.status) == ("session-1", "2", "creating")
    assert seen.created_at == datetime.fromtimestamp(1_780_000_000, UTC)
    assert cloud.body() == {
        "agent_session_id": "session-1",
        "version_indicator": {"type": "version_ref", "agent_version": "2"},
    }


async def test_a_session_that_is_slow_to_wake_is_waited_for_and_used() -> None:
    slow = refused(424, "session_not_ready", "Session 'session-1' did not become ready within the expected timeout.")
    client, cloud = scripted(slow, ok(a_session(status="creating")), ok(a_session()))
    assert (await client.open_session("a", "1", "session-1")).status == "active"
    assert cloud.lines[1:] == ["GET /agents/a/endpoint/sessions/session-1"] * 2


async def test_the_id_of_a_slow_session_is_read_out_of_the_text() -> None:
    text = "Session 'abcdef123456' did not become ready within the expected timeout."
    client, cloud = scripted(refused(424, "session_not_ready", text), ok(a_session("abcdef123456")))
    assert (await client.api.sessions.create("a", "1")).id == "abcdef123456"
    assert cloud.lines[1].endswith("/sessions/abcdef123456")


async def test_a_slow_session_that_fails_is_the_first_refusal() -> None:
    client, _ = scripted(refused(424, "session_not_ready"), ok(a_session(status="failed")))
    with pytest.raises(CloudError) as told:
        await client.open_session("a", "1", "session-1")
    assert told.value.refusal.status == 424


async def test_a_session_whose_first_answer_was_lost_is_found_again() -> None:
    client, _ = scripted(httpx.ReadError("gone"), refused(409, "conflict"), ok(a_session("session-1", "1")))
    assert (await client.open_session("a", "1", "session-1")).version == "1"


async def test_a_session_of_that_id_on_another_version_is_a_conflict() -> None:
    client, _ = scripted(refused(409, "conflict"), ok(a_session("session-1", "9")))
    with pytest.raises(CloudError) as told:
        await client.open_session("a", "1", "session-1")
    assert told.value.refusal.status == 409


async def test_a_session_crash_is_told_at_once() -> None:
    client, cloud = scripted(refused(500, "session_creation_failed"))
    with pytest.raises(CloudError):
        await client.open_session("a", "1", "session-1")
    assert cloud.is_over


async def test_stopping_a_stopped_session_is_fine_and_another_conflict_is_not() -> None:
    client, _ = scripted(refused(409, "session_already_stopped"), refused(409, "conflict"))
    await client.stop_session("a", "session-1")
    with pytest.raises(CloudError):
        await client.stop_session("a", "session-1")


async def test_deleting_a_session_that_is_gone_is_fine() -> None:
    client, cloud = scripted(refused(404, "not_found"))
    await client.delete_session("a", "session-1")
    assert cloud.lines == ["DELETE /agents/a/endpoint/sessions/session-1"]


async def test_sessions_are_listed_with_the_older_cursor_dialect_too() -> None:
    client, cloud = scripted(
        ok({"data": [a_session("session-1")], "has_more": True}), ok({"data": [a_session("session-2", "2")]})
    )
    assert [(s.id, s.version) async for s in client.sessions("a")] == [("session-1", "1"), ("session-2", "2")]
    assert cloud.lines[1].endswith("after=session-1")


SECOND = timedelta(seconds=1)


async def test_text_is_asked_by_responses_with_the_session_in_the_body() -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "hello"}]}]
    response = {"object": "response", "output": output}
    client, cloud = scripted(ok(response))
    answer = await client.ask("a", "session-1", "hi", SECOND)
    assert (answer.status, json.loads(answer.text), answer.code) == (200, response, None)
    assert cloud.lines == ["POST /agents/a/endpoint/protocols/openai/responses"]
    assert cloud.body() == {"input": "hi", "agent_session_id": "session-1"}


async def test_anything_else_is_asked_by_invocations_with_the_session_in_the_query() -> None:
    client, cloud = scripted(httpx.Response(200, text="plain"))
    answer = await client.ask("a", "session-1", {"n": 1}, SECOND)
    assert (answer.status, answer.text) == (200, "plain")
    assert cloud.lines == ["POST /agents/a/endpoint/protocols/invocations?agent_session_id=session-1"]
    assert cloud.body() == {"n": 1}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 424, 429, 500, 502, 503, 504])
async def test_any_status_is_an_answer_and_nothing_is_asked_twice(status: int) -> None:
    client, cloud = scripted(refused(status, "some_code", retry_after="1"))
    answer = await client.ask("a", "session-1", "hi", SECOND)
    assert (answer.status, answer.code) == (status, "some_code")
    assert cloud.is_over


async def test_the_platforms_failure_class_is_the_code_where_the_body_has_none() -> None:
    client, _ = scripted(
        httpx.Response(502, text="<html>", headers={"x-adc-response-details": "ReadinessTimeout; 25s"})
    )
    assert (await client.ask("a", "session-1", "hi", SECOND)).code == "ReadinessTimeout"


async def test_a_response_that_failed_inside_has_its_code_in_spite_of_200() -> None:
    failed = {"status": "failed", "output": [], "error": {"code": "server_error", "message": "boom"}}
    client, _ = scripted(ok(failed))
    answer = await client.ask("a", "session-1", "hi", SECOND)
    assert (answer.status, answer.code) == (200, "server_error")
    assert "boom" in answer.text


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (httpx.ConnectError("http://secret"), "connection"),
        (httpx.ConnectTimeout("x"), "connection"),
        (httpx.ReadTimeout("x"), "timeout"),
        (httpx.ReadError("x"), "dropped"),
        (httpx.RemoteProtocolError("x"), "dropped"),
    ],
)
async def test_no_answer_is_an_error_that_tells_how_it_got_lost_and_no_address(failure: Exception, code: str) -> None:
    client, cloud = scripted(failure)
    with pytest.raises(CloudError) as told:
        await client.ask("a", "session-1", "hi", SECOND)
    assert (told.value.refusal.status, told.value.refusal.code) == (None, code)
    assert told.value.is_ours is (code != "timeout")
    assert isinstance(told.value, TimeoutError) is (code == "timeout")
    assert "secret" not in str(told.value)
    assert cloud.is_over
