"""Plays of the official SDK about files, logs, deletion and the OpenAI clients it returns."""

from typing import Any

from azure.ai.projects.models import VersionRefIndicator

from official_sdk_documented import OF_RESPONSES, play
from official_sdk_flavours import Face, Visitors
from official_sdk_plays import agent, routed, session
from official_sdk_prompt_plays import prompt


@play(
    "agents.upload_session_file",
    "agents.download_session_file",
    "agents.list_session_files",
    "agents.delete_session_file",
)
async def files_go_both_ways(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk)
    mine = await session(sdk)
    for name in ("a.txt", "b.txt", "c.txt"):
        written = await sdk.call("agents.upload_session_file", "a", mine, b"hello", path=f"/files/{name}")
        assert (written.path, written.bytes_written) == (f"files/{name}", 5)
    listed = await sdk.items("agents.list_session_files", "a", mine, path="/files", limit=2)
    assert [each.name for each in listed] == ["a.txt", "b.txt", "c.txt"]
    assert b"".join(await sdk.items("agents.download_session_file", "a", mine, path="/files/a.txt")) == b"hello"
    await sdk.call("agents.delete_session_file", "a", mine, path="/files", recursive=True)
    await sdk.refused("agents.download_session_file", "a", mine, path="/files/a.txt")
    await sdk.refused("agents.delete_session_file", "a", mine, path="/files/a.txt")
    await sdk.refused("agents.list_session_files", "a", "session-unknown", path="/")
    await sdk.refused("agents.upload_session_file", "a", "session-unknown", b"x", path="/a.txt")


@play("agents.get_session_log_stream")
async def a_log_stream_tells_what_was_printed(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk, crash="true")
    first = VersionRefIndicator(agent_version="1")
    failing = {"version_indicator": first, "agent_session_id": "session-crash", "retry_total": 0}
    await sdk.refused("agents.create_session(version_indicator)", "a", **failing)
    text = b"".join(await sdk.items("agents.get_session_log_stream", "a", "1", "session-crash"))
    assert text.startswith(b'event: log\ndata: {"timestamp": "')
    assert b"RuntimeError: crash=true" in text
    await sdk.refused("agents.get_session_log_stream", "a", "1", "session-unknown")


@play("agents.delete_version", "agents.delete", "agents.delete(force)")
async def what_is_in_use_is_not_deleted(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk)
    await agent(sdk, reply="other")
    older = {"version_indicator": VersionRefIndicator(agent_version="1"), "agent_session_id": "session-one"}
    await sdk.call("agents.create_session(version_indicator)", "a", **older)
    assert "active sessions" in str(await sdk.refused("agents.delete_version", "a", "1"))
    assert "active sessions" in str(await sdk.refused("agents.delete", "a"))
    assert (await sdk.call("agents.delete_version", "a", "1", force=True)).deleted
    await sdk.refused("agents.delete_version", "a", "1")
    assert (await sdk.call("agents.delete", "a")).deleted
    await sdk.refused("agents.delete", "a")
    await agent(sdk)
    held = await session(sdk)
    assert (await sdk.call("agents.delete(force)", "a", force=True)).deleted
    await sdk.refused("agents.get_session", "a", held)


@play(
    "agent's responses.create",
    *OF_RESPONSES,
)
async def the_openai_client_of_an_agent_talks(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk)
    async with sdk.openai("a") as client:
        await _converse(client)
        await client.refused("responses.create", metadata={"without": "input"})
        await sdk.call("agents.disable", "a")
        await client.refused("responses.create", input="x")
    await agent(sdk, "failing", error_rate="1")
    for name in ("nobody", "failing"):
        async with sdk.openai(name) as client:
            await client.refused("responses.create", input="x")


async def _converse(client: Face) -> None:
    conversation = await client.call("conversations.create")
    made = {"conversation": conversation.id}
    answers = [await client.call("responses.create", input=text, **made) for text in ("one", "two")]
    assert len({answer.agent_session_id for answer in answers}) == 1
    assert answers[0].agent_reference["version"] == "1"
    events: list[Any] = await client.items("responses.create(stream)", input="a b c", stream=True)
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert "".join(each.delta for each in events if each.type == "response.output_text.delta") == "a b c"
    assert (await client.call("responses.retrieve", answers[0].id)).output_text == "one"
    asked = await client.items("responses.input_items.list", answers[1].id)
    assert asked[0].content[0].text == "two"
    await client.refused("responses.cancel", answers[0].id)
    await client.call("responses.delete", answers[0].id)
    await client.refused("responses.retrieve", answers[0].id)


@play(
    "agents.update_details(prompt)",
    "agents.enable(prompt)",
    "agents.disable(prompt)",
    "agents.download_code(prompt)",
    "agents.create_session(prompt)",
    "agents.list_sessions(prompt)",
    "agents.get_session_log_stream(prompt)",
)
async def prompt_agents_are_routed_and_have_nothing_of_a_container(both: Visitors) -> None:
    sdk = both.sdk
    for reply in ("one", "two"):
        await prompt(sdk, model=f"emulator://echo?reply={reply}")
    changed = await sdk.call("agents.update_details(prompt)", "p", agent_endpoint=routed(v1=100))
    assert changed.agent_endpoint.version_selector.version_selection_rules[0].agent_version == "1"
    await sdk.refused("agents.update_details(prompt)", "p", agent_endpoint=routed(v1=90))
    async with sdk.openai("p") as client:
        assert (await client.call("responses.create(prompt)", input="x")).output_text == "one"
    await sdk.call("agents.disable(prompt)", "p")
    assert (await sdk.call("agents.get(prompt)", "p")).state == "disabled"
    await sdk.call("agents.enable(prompt)", "p")
    assert await sdk.items("agents.list_sessions(prompt)", "p") == []
    await sdk.refused("agents.create_session(prompt)", "p", {})
    await sdk.refused("agents.download_code(prompt)", "p")
    await sdk.refused("agents.get_session_log_stream(prompt)", "p", "1", "session-none")
