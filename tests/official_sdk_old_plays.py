"""Plays of the official SDK 2.1.0 about hosted agents; most of their methods were in preview then.

They are performed by ``official_sdk_old``, in an environment of that SDK's own.
"""

from typing import Any

from azure.ai.projects.models import (  # type: ignore[attr-defined]  # AgentEndpoint has another name since
    AgentEndpoint,
    FixedRatioVersionSelectionRule,
    HostedAgentDefinition,
    ProtocolVersionRecord,
    VersionRefIndicator,
    VersionSelector,
)

from official_sdk_documented import OF_RESPONSES, play
from official_sdk_flavours import Face, Visitors
from official_sdk_old_documented import DOCUMENTED_OLD
from official_sdk_prompt_plays import prompt, reference

BETA = "beta.agents."
MAKE = f"{BETA}create_session"
KEY = {"isolation_key": "k"}


def echo(**settings: str) -> HostedAgentDefinition:
    """Return a definition in that SDK's dialect."""
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    fields: dict[str, Any] = {
        "image": f"emulator://echo?{query}".rstrip("?"),
        "container_protocol_versions": [ProtocolVersionRecord(protocol="responses", version="1.0.0")],
    }
    return HostedAgentDefinition(cpu="1", memory="2Gi", **fields)


async def agent(sdk: Face, name: str = "a", **settings: str) -> str:
    return str((await sdk.call("agents.create_version", name, definition=echo(**settings))).version)


async def session(sdk: Face, name: str = "a") -> str:
    return str((await sdk.call(f"{MAKE}({{}})", name, {}, **KEY)).agent_session_id)


def routed(**percent: int) -> AgentEndpoint:
    rules: list[Any] = [
        FixedRatioVersionSelectionRule(agent_version=version.strip("v"), traffic_percentage=share)
        for version, share in percent.items()
    ]
    return AgentEndpoint(version_selector=VersionSelector(version_selection_rules=rules), protocols=["responses"])


@play(
    "agents.list",
    "agents.get",
    "agents.create_version",
    "agents.list_versions",
    "agents.get_version",
    of=DOCUMENTED_OLD,
)
async def agents_and_versions_are_made_listed_and_read(both: Visitors) -> None:
    sdk = both.sdk
    assert [await agent(sdk), await agent(sdk), await agent(sdk, reply="other")] == ["1", "1", "2"]
    await agent(sdk, "b")
    assert [each.name for each in await sdk.items("agents.list", limit=1, kind="hosted")] == ["b", "a"]
    assert (await sdk.call("agents.get", "a")).versions.latest.version == "2"
    assert [each.version for each in await sdk.items("agents.list_versions", "a", order="asc")] == ["1", "2"]
    first = await sdk.call("agents.get_version", "a", "1")
    assert (first.status, first.definition.image) == ("active", "emulator://echo")
    await sdk.refused("agents.get", "nobody")
    await sdk.refused("agents.get_version", "a", "9")
    await sdk.refused("agents.list_versions", "nobody")
    await both.nobody.refused("agents.get", "a")
    await both.nobody.refused("agents.list")
    wrong: Any = echo()
    wrong.cpu = "9"
    await sdk.refused("agents.create_version", "a", definition=wrong)
    reserved: Any = echo()
    reserved.environment_variables = {"FOUNDRY_X": "1"}
    await sdk.refused("agents.create_version", "a", definition=reserved)


@play(f"{BETA}patch_agent_details", f"{BETA}patch_agent_details(prompt)", f"{MAKE}(prompt)", of=DOCUMENTED_OLD)
async def traffic_is_divided(both: Visitors) -> None:
    sdk, patch = both.sdk, f"{BETA}patch_agent_details"
    await agent(sdk)
    await agent(sdk, reply="other")
    changed = await sdk.call(patch, "a", agent_endpoint=routed(v1=90, v2=10))
    rules = changed.agent_endpoint.version_selector.version_selection_rules
    assert [(rule.agent_version, rule.traffic_percentage) for rule in rules] == [("1", 90), ("2", 10)]
    await sdk.refused(patch, "a", agent_endpoint=routed(v1=90, v2=9))
    await sdk.refused(patch, "nobody", agent_endpoint=routed(v1=100))
    for reply in ("one", "two"):
        await prompt(sdk, model=f"emulator://echo?reply={reply}")
    await sdk.call(f"{patch}(prompt)", "p", agent_endpoint=routed(v1=100))
    await sdk.refused(f"{patch}(prompt)", "p", agent_endpoint=routed(v1=90))
    async with sdk.openai() as client:
        said = await client.call("responses.create(prompt)", input="x", extra_body=reference())
        assert said.output_text == "one"
    await sdk.refused(f"{MAKE}(prompt)", "p", {}, **KEY)


@play(
    f"{MAKE}(version_indicator)",
    f"{MAKE}({{}})",
    f"{BETA}get_session",
    f"{BETA}list_sessions",
    f"{BETA}delete_session",
    of=DOCUMENTED_OLD,
)
async def sessions_live_and_end(both: Visitors) -> None:
    sdk, first, keyword = both.sdk, VersionRefIndicator(agent_version="1"), f"{MAKE}(version_indicator)"
    await agent(sdk)
    made = await sdk.call(keyword, "a", version_indicator=first, agent_session_id="session-one", **KEY)
    assert (made.agent_session_id, made.version_indicator.agent_version) == ("session-one", "1")
    ids = ["session-one", *[await session(sdk) for _ in range(2)]]
    assert [each.agent_session_id for each in await sdk.items(f"{BETA}list_sessions", "a", limit=2)] == ids[::-1]
    for _ in "twice":
        await sdk.call(f"{BETA}delete_session", "a", ids[0], **KEY)
    await sdk.refused(f"{BETA}get_session", "a", ids[0])
    assert (await sdk.call(f"{BETA}get_session", "a", ids[1])).status == "active"
    await sdk.refused(f"{BETA}list_sessions", "nobody")
    await sdk.refused(f"{MAKE}({{}})", "nobody", {}, **KEY)
    await sdk.refused(keyword, "a", version_indicator=VersionRefIndicator(agent_version="9"), **KEY)
    await agent(sdk, "slow", ready_after="30")
    await sdk.refused(keyword, "slow", version_indicator=first, agent_session_id="session-slow", **KEY)
    await agent(sdk, "crash", crash="true")
    await sdk.refused(keyword, "crash", version_indicator=first, retry_total=0, **KEY)


@play(
    f"{BETA}upload_session_file",
    f"{BETA}download_session_file",
    f"{BETA}get_session_files",
    f"{BETA}delete_session_file",
    f"{BETA}get_session_log_stream",
    of=DOCUMENTED_OLD,
)
async def files_go_both_ways_and_logs_are_read(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk)
    mine = await session(sdk)
    written = await sdk.call(f"{BETA}upload_session_file", "a", mine, b"hello", path="/files/a.txt")
    assert (written.path, written.bytes_written) == ("files/a.txt", 5)
    listed = (await sdk.call(f"{BETA}get_session_files", "a", mine, path="/files")).entries
    assert [each.name for each in listed] == ["a.txt"]
    assert b"".join(await sdk.items(f"{BETA}download_session_file", "a", mine, path="/files/a.txt")) == b"hello"
    await sdk.call(f"{BETA}delete_session_file", "a", mine, path="/files", recursive=True)
    for method in ("download_session_file", "delete_session_file"):
        await sdk.refused(f"{BETA}{method}", "a", mine, path="/files/a.txt")
    await sdk.refused(f"{BETA}get_session_files", "a", "session-unknown", path="/")
    await sdk.refused(f"{BETA}upload_session_file", "a", "session-unknown", b"x", path="/a.txt")
    await sdk.refused(f"{BETA}get_session_log_stream", "a", "1", "session-unknown")
    await sdk.call(f"{BETA}delete_session", "a", mine, **KEY)
    await agent(sdk, "crash", crash="true")
    await sdk.refused(
        f"{MAKE}(version_indicator)",
        "crash",
        version_indicator=VersionRefIndicator(agent_version="1"),
        agent_session_id="session-crash",
        retry_total=0,
        **KEY,
    )
    text = b"".join(await sdk.items(f"{BETA}get_session_log_stream", "crash", "1", "session-crash"))
    assert b"RuntimeError: crash=true" in text


@play("agents.delete_version", "agents.delete", of=DOCUMENTED_OLD)
async def what_is_in_use_is_not_deleted(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk)
    mine = await session(sdk)
    await agent(sdk, reply="other")
    assert "active sessions" in str(await sdk.refused("agents.delete_version", "a", "1"))
    assert "active sessions" in str(await sdk.refused("agents.delete", "a"))
    await sdk.call(f"{BETA}delete_session", "a", mine, **KEY)
    assert (await sdk.call("agents.delete_version", "a", "1")).deleted
    await sdk.refused("agents.delete_version", "a", "1")
    assert (await sdk.call("agents.delete", "a")).deleted
    await sdk.refused("agents.delete", "a")


@play(
    "agent's responses.create",
    *OF_RESPONSES,
    "project's responses.create",
    "project's conversations.create",
    of=DOCUMENTED_OLD,
)
async def openai_clients_talk(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk)
    async with sdk.openai("a") as client:
        conversation = await client.call("conversations.create")
        made = [await client.call("responses.create", input=text, conversation=conversation.id) for text in ("a", "b")]
        assert len({each.agent_session_id for each in made}) == 1
        events = await client.items("responses.create(stream)", input="a b c", stream=True)
        assert "".join(each.delta for each in events if each.type == "response.output_text.delta") == "a b c"
        assert (await client.call("responses.retrieve", made[0].id)).output_text == "a"
        assert (await client.items("responses.input_items.list", made[1].id))[0].content[0].text == "b"
        await client.refused("responses.cancel", made[0].id)
        await client.call("responses.delete", made[0].id)
        await client.refused("responses.retrieve", made[0].id)
        await client.refused("responses.create", metadata={"without": "input"})
    await agent(sdk, "failing", error_rate="1")
    for name in ("nobody", "failing"):
        async with sdk.openai(name) as client:
            await client.refused("responses.create", input="x")
    async with sdk.openai() as client:
        assert (await client.call("conversations.create")).object == "conversation"
        assert (await client.call("responses.create", input="hi", extra_body=reference("a"))).output_text == "hi"
        await client.refused("responses.create", input="hi", extra_body=reference("nobody"))
