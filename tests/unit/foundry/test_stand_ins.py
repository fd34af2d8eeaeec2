"""Prompt agents by the client: no session is opened, each call names its version, and that version must answer."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.client import FoundryClient
from unit.foundry.scripted import Script, Step, a_version, an_agent, ok, refused, scripted

LIMIT = timedelta(seconds=10)


def an_answer(version: str | None) -> httpx.Response:
    reference = (
        {} if version is None else {"agent_reference": {"type": "agent_reference", "name": "p", "version": version}}
    )
    return ok({"object": "response", "id": "r", "output": [], **reference})


def of_kind(kind: str | None, name: str = "p") -> dict[str, Any]:
    return an_agent(name, versions={"latest": a_version("2", definition={"kind": kind})})


async def standing(*steps: Step) -> tuple[FoundryClient, Script]:
    """Return a client with a stand-in for a session of version 2."""
    client, cloud = scripted(ok(of_kind("prompt")), *steps)
    assert (await client.agent("p")).kind == "prompt"
    seen = await client.open_session("p", "2", "probe-1")
    assert (seen.id, seen.version, seen.status.is_live) == ("probe-1", "2", True)
    return client, cloud


async def test_a_call_names_the_version_at_the_project_s_own_address() -> None:
    client, cloud = await standing(an_answer("2"))
    assert (await client.ask("p", "probe-1", "hi", LIMIT)).version == "2"
    assert (cloud.asked[1].url.path, cloud.asked[1].url.query) == ("/api/projects/p/openai/v1/responses", b"")
    reference = {"type": "agent_reference", "name": "p", "version": "2"}
    assert cloud.body() == {"input": "hi", "agent_reference": reference}


async def test_the_header_for_one_version_is_not_for_prompt_agents() -> None:
    client, cloud = await standing(an_answer("2"))
    answer = await client.ask_version("p", "2", "hi", LIMIT)
    assert (answer.version, answer.serving.resolved, answer.session) == ("2", None, None)
    assert "x-agent-version-override" not in cloud.asked[1].headers
    assert cloud.body()["agent_reference"]["version"] == "2"


@pytest.mark.parametrize(
    ("version", "words"),
    [("1", "of version 1"), (None, "that does not say which version gave it,")],
)
async def test_an_answer_of_another_version_is_no_evidence(version: str | None, words: str) -> None:
    client, _ = await standing(an_answer(version))
    with pytest.raises(CloudError) as told:
        await client.ask("p", "probe-1", "hi", LIMIT)
    expected = f"responses.create answered 200 with a response {words} instead of version 2 of prompt agent p"
    assert (told.value.is_ours, str(told.value)) == (True, expected)


async def test_a_failure_is_the_version_s_own() -> None:
    client, _ = await standing(refused(500, "server_error"))
    assert (await client.ask("p", "probe-1", "hi", LIMIT)).status == 500


async def test_nothing_but_text_can_be_asked() -> None:
    client, cloud = await standing()
    with pytest.raises(UsageError, match="Responses only"):
        await client.ask("p", "probe-1", {"order": 1}, LIMIT)
    assert len(cloud.asked) == 1


async def test_sessions_are_neither_listed_nor_deleted_in_the_cloud() -> None:
    client, cloud = await standing(httpx.Response(204))
    assert [session async for session in client.sessions("p")] == []
    await client.delete_session("p", "probe-1")
    assert len(cloud.asked) == 1
    await client.delete_session("p", "probe-1")
    assert cloud.lines[-1] == "DELETE /agents/p/endpoint/sessions/probe-1"


async def test_agents_of_kinds_that_cannot_be_rolled_out_are_passed_over() -> None:
    kinds = {"h": "hosted", "p": "prompt", "w": "workflow", "x": "container_app", "old": None}
    page = {"data": [of_kind(kind, name) for name, kind in kinds.items()], "has_more": False}
    client, _ = scripted(ok(page), ok(page))
    assert {seen.name: seen.kind async for seen in client.agents()} == {"h": "hosted", "p": "prompt", "old": "hosted"}
    assert [each.seen.kind async for each in client.api.agents.all()][2:4] == ["workflow", "container_app"]
