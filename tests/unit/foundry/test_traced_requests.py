"""Requests as spans: one for each attempt, its status, and whom it asked; no token, no address, no text."""

from datetime import timedelta

import httpx
import pytest
from opentelemetry.trace import StatusCode

from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.invocations import Question
from foundry_rollouts.tracing import span
from traced import traces
from unit.foundry.scripted import AT_ONCE, ENDPOINT, Script, an_agent, ok, refused


def asking(*steps: httpx.Response | Exception) -> tuple[FoundryClient, list[httpx.Request]]:
    sent: list[httpx.Request] = []
    script = Script(steps)

    async def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return await script(request)

    return FoundryClient(ENDPOINT, FixedToken(), None, AT_ONCE, httpx.MockTransport(answer)), sent


async def test_each_attempt_is_a_span_and_carries_the_trace_along() -> None:
    client, sent = asking(refused(503), ok(an_agent()))
    with traces() as kept, span("tick"):
        await client.route("a", Routing.of({"1": 100}))
    first, second, tick = kept.spans
    assert [each.name for each in (first, second)] == ["PATCH agents.route"] * 2
    assert [(each.attributes or {})["http.response.status_code"] for each in (first, second)] == [503, 200]
    assert [each.status.status_code for each in (first, second)] == [StatusCode.ERROR, StatusCode.UNSET]
    assert tick.context is not None
    trace = f"{tick.context.trace_id:032x}"
    assert [request.headers["traceparent"].split("-")[1] for request in sent] == [trace, trace]
    everything = kept.everything()
    assert "Bearer" not in everything
    assert ENDPOINT not in everything


async def test_a_request_outside_of_a_trace_carries_none() -> None:
    client, sent = asking(ok(an_agent()))
    await client.agent("a")
    assert "traceparent" not in sent[0].headers


@pytest.mark.parametrize("content", ["how are you?", {"order": 4711}])
async def test_a_call_of_an_agent_says_so_in_both_spellings_and_tells_nothing_of_what_was_said(content: object) -> None:
    client, _ = asking(httpx.Response(200, json={"output": "the answer"}))
    with traces() as kept:
        await client.api.invocations.ask(Question("support", content), timedelta(seconds=5))
    said = dict(kept.spans[0].attributes or {})
    assert (
        said.items()
        >= {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.system": "az.ai.agents",
            "gen_ai.provider.name": "microsoft.foundry",
            "gen_ai.agent.name": "support",
        }.items()
    )
    assert not [word for word in ("how are you", "4711", "the answer") if word in kept.everything()]


async def test_an_attempt_without_an_answer_has_failed_and_has_no_status() -> None:
    client, _ = asking(httpx.ConnectError("https://host/?sig=secret"), refused(403, "no"))
    with traces() as kept, pytest.raises(CloudError):
        await client.agent("a")
    assert "http.response.status_code" not in (kept.spans[0].attributes or {})
    assert "secret" not in kept.everything()
