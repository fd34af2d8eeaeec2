"""Plays about prompt agents that every version of the official SDK can perform."""

from typing import Any

from azure.ai.projects.models import PromptAgentDefinition

from official_sdk_documented import play
from official_sdk_flavours import Face, Visitors


async def prompt(sdk: Face, name: str = "p", model: str = "gpt-4.1-mini", **more: Any) -> str:
    definition = PromptAgentDefinition(model=model, **more)
    made = await sdk.call("agents.create_version(prompt)", name, definition=definition)
    assert (made.status, made.definition.kind, made.definition.model) == ("active", "prompt", model)
    return str(made.version)


def reference(name: str = "p", **more: str) -> dict[str, Any]:
    return {"agent_reference": {"type": "agent_reference", "name": name, **more}}


@play(
    "agents.create_version(prompt)",
    "agents.list(prompt)",
    "agents.get(prompt)",
    "agents.list_versions(prompt)",
    "agents.get_version(prompt)",
)
async def prompt_agents_are_made_listed_and_read(both: Visitors) -> None:
    sdk = both.sdk
    every: dict[str, Any] = {"temperature": 0.5, "top_p": 1.0, "tool_choice": "auto", "instructions": "Be brief."}
    assert [await prompt(sdk, **every), await prompt(sdk, **every), await prompt(sdk)] == ["1", "1", "2"]
    await prompt(sdk, "q")
    listed = await sdk.items("agents.list(prompt)", kind="prompt", limit=1)
    assert [each.name for each in listed] == ["q", "p"]
    assert await sdk.items("agents.list(prompt)", kind="hosted") == []
    latest = (await sdk.call("agents.get(prompt)", "p")).versions.latest
    assert (latest.version, latest.definition.kind) == ("2", "prompt")
    versions = await sdk.items("agents.list_versions(prompt)", "p", order="asc")
    assert [(each.version, each.definition.instructions) for each in versions] == [("1", "Be brief."), ("2", None)]
    first = (await sdk.call("agents.get_version(prompt)", "p", "1")).definition
    assert (first.temperature, first.top_p, first.tool_choice) == (0.5, 1.0, "auto")
    await sdk.refused("agents.get_version(prompt)", "p", "9")
    await sdk.refused("agents.create_version(prompt)", "p", definition=PromptAgentDefinition(model="", top_p=0.5))


@play("agents.delete_version(prompt)", "agents.delete(prompt)")
async def prompt_agents_are_deleted(both: Visitors) -> None:
    sdk = both.sdk
    await prompt(sdk)
    await prompt(sdk, instructions="Be kind.")
    assert (await sdk.call("agents.delete_version(prompt)", "p", "1")).deleted
    await sdk.refused("agents.delete_version(prompt)", "p", "1")
    assert (await sdk.call("agents.delete(prompt)", "p")).deleted
    await sdk.refused("agents.delete(prompt)", "p")


@play(
    "agent's responses.create(prompt)",
    "agent's responses.create(prompt, stream)",
    "agent's responses.retrieve(prompt)",
    "agent's responses.input_items.list(prompt)",
    "agent's responses.cancel(prompt)",
    "agent's responses.delete(prompt)",
    "agent's conversations.create(prompt)",
)
async def the_openai_client_of_a_prompt_agent_talks(both: Visitors) -> None:
    await prompt(both.sdk, instructions="Be brief.")
    async with both.sdk.openai("p") as client:
        conversation = await client.call("conversations.create(prompt)")
        made = await client.call("responses.create(prompt)", input="one", conversation=conversation.id)
        assert (made.output_text, made.agent_reference["version"], made.model) == ("one", "1", "gpt-4.1-mini")
        assert not hasattr(made, "agent_session_id")
        events = await client.items("responses.create(prompt, stream)", input="a b", stream=True)
        assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
        assert events[-1].response.agent_reference["name"] == "p"
        assert (await client.call("responses.retrieve(prompt)", made.id)).output_text == "one"
        asked = await client.items("responses.input_items.list(prompt)", made.id)
        assert asked[0].content[0].text == "one"
        await client.refused("responses.cancel(prompt)", made.id)
        await client.call("responses.delete(prompt)", made.id)
        await client.refused("responses.retrieve(prompt)", made.id)
        await client.refused("responses.create(prompt)", input="x", instructions="Be rude.")
        await client.refused("responses.create(prompt)", input="x", conversation="conv_unknown")


@play("project's responses.create(prompt)")
async def a_reference_chooses_the_version(both: Visitors) -> None:
    sdk = both.sdk
    for reply in ("one", "two"):
        await prompt(sdk, model=f"emulator://echo?reply={reply}")
    await prompt(sdk, "failing", model="emulator://echo?error_rate=1")
    method = "responses.create(prompt)"
    async with sdk.openai() as client:
        said = [
            (await client.call(method, input="x", extra_body=reference(**more))).output_text
            for more in ({}, {"version": "1"}, {"version": "2"})
        ]
        assert said == ["two", "one", "two"]
        await client.refused(method, input="x", extra_body=reference(version="9"))
        await client.refused(method, input="x", tools=[], extra_body=reference())
        await client.refused(method, input="x", extra_body=reference("failing"))
