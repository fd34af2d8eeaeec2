"""Plays of the official SDK about agents, versions, code, traffic and sessions."""

from typing import Any

from azure.ai.projects.models import (
    AgentEndpointConfig,
    CodeConfiguration,
    FixedRatioVersionSelectionRule,
    HostedAgentDefinition,
    ProtocolVersionRecord,
    VersionRefIndicator,
    VersionSelector,
)

from emulated import AGENT, ECHO, a_zip
from official_sdk import archive, echo
from official_sdk_documented import play
from official_sdk_flavours import Face, Visitors


async def agent(sdk: Face, name: str = "a", **settings: str) -> str:
    version = await sdk.call("agents.create_version", name, definition=echo(**settings))
    return str(version.version)


async def session(sdk: Face, name: str = "a") -> str:
    return str((await sdk.call("agents.create_session({})", name, {})).agent_session_id)


def routed(**percent: int) -> AgentEndpointConfig:
    rules: list[Any] = [
        FixedRatioVersionSelectionRule(agent_version=version.replace("_", "-").strip("v"), traffic_percentage=share)
        for version, share in percent.items()
    ]
    return AgentEndpointConfig(version_selector=VersionSelector(version_selection_rules=rules))


@play("agents.list", "agents.get")
async def agents_are_listed_and_read(both: Visitors) -> None:
    for name in ("a", "b", "c"):
        await agent(both.sdk, name)
    assert [each.name for each in await both.sdk.items("agents.list", limit=2, kind="hosted")] == ["c", "b", "a"]
    assert (await both.sdk.call("agents.get", "a")).versions.latest.version == "1"
    await both.sdk.refused("agents.get", "nobody")
    await both.nobody.refused("agents.get", "a")
    await both.nobody.refused("agents.list")


@play(
    "agents.create_version",
    "agents.create_version(draft)",
    "agents.list_versions",
    "agents.list_versions(include_drafts)",
    "agents.get_version",
)
async def versions_and_drafts_are_made_listed_and_read(both: Visitors) -> None:
    sdk = both.sdk
    assert (await agent(sdk), await agent(sdk, reply="other")) == ("1", "2")
    draft = await sdk.call("agents.create_version(draft)", "a", definition=echo(reply="draft"), draft=True)
    assert draft.version.startswith("draft-")
    listed = await sdk.items("agents.list_versions", "a", limit=1, order="asc")
    assert [each.version for each in listed] == ["1", "2"]
    everything = await sdk.items("agents.list_versions(include_drafts)", "a", include_drafts=True)
    assert {each.version for each in everything} == {"1", "2", draft.version}
    assert (await sdk.call("agents.get_version", "a", draft.version)).status == "active"
    await sdk.refused("agents.get_version", "a", "9")
    await sdk.refused("agents.list_versions", "nobody")
    await sdk.refused("agents.create_version", "a", definition=HostedAgentDefinition({**ECHO, "cpu": "9"}))
    reserved = {**ECHO, "environment_variables": {"FOUNDRY_X": "1"}}
    await sdk.refused("agents.create_version", "a", definition=HostedAgentDefinition(reserved))


@play("agents.create_version_from_code", "agents.download_code")
async def code_goes_up_and_comes_back(both: Visitors) -> None:
    sdk = both.sdk
    definition = HostedAgentDefinition(
        cpu="1",
        memory="2Gi",
        code_configuration=CodeConfiguration(
            runtime="python_3_13", entry_point=["python", "main.py"], dependency_resolution="bundled"
        ),
        protocol_versions=[ProtocolVersionRecord(protocol="responses", version="2.0.0")],
    )
    made = await sdk.call("agents.create_version_from_code", "c", definition=definition, code=archive(AGENT))
    chunks = await sdk.items("agents.download_code", "c", agent_version=made.version)
    assert b"".join(chunks) == a_zip({"main.py": AGENT, "requirements.txt": ""})
    wrong = {"code": archive(AGENT), "code_zip_sha256": "0" * 64}
    await sdk.refused("agents.create_version_from_code", "c", definition=definition, **wrong)
    await agent(sdk)
    await sdk.refused("agents.download_code", "a")
    await sdk.refused("agents.download_code", "nobody")


@play("agents.update_details", "agents.update_details(to a draft)")
async def traffic_is_divided(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk)
    await agent(sdk, reply="other")
    draft = await sdk.call("agents.create_version(draft)", "a", definition=echo(reply="draft"), draft=True)
    changed = await sdk.call("agents.update_details", "a", agent_endpoint=routed(v1=90, v2=10))
    rules = changed.agent_endpoint.version_selector.version_selection_rules
    assert [(rule.agent_version, rule.traffic_percentage) for rule in rules] == [("1", 90), ("2", 10)]
    await sdk.refused("agents.update_details", "a", agent_endpoint=routed(v1=90, v2=9))
    await sdk.refused("agents.update_details", "nobody", agent_endpoint=routed(v1=100))
    await sdk.refused("agents.update_details(to a draft)", "a", agent_endpoint=routed(**{draft.version: 100}))


@play("agents.enable", "agents.disable", "project's responses.create", "project's conversations.create")
async def a_disabled_agent_answers_nobody(both: Visitors) -> None:
    sdk = both.sdk
    await agent(sdk)
    body = {"agent_reference": {"type": "agent_reference", "name": "a"}}
    async with sdk.openai() as client:
        assert (await client.call("responses.create", input="hi", extra_body=body)).output_text == "hi"
        assert (await client.call("conversations.create")).object == "conversation"
        await sdk.call("agents.disable", "a")
        assert (await sdk.call("agents.get", "a")).state == "disabled"
        await client.refused("responses.create", input="hi", extra_body=body)
        await sdk.call("agents.enable", "a")
        body["agent_reference"]["name"] = "nobody"
        await client.refused("responses.create", input="hi", extra_body=body)
    for method in ("agents.enable", "agents.disable"):
        await sdk.refused(method, "nobody")


@play(
    "agents.create_session(version_indicator)",
    "agents.create_session({})",
    "agents.get_session",
    "agents.list_sessions",
    "agents.stop_session",
    "agents.delete_session",
)
async def sessions_live_and_end(both: Visitors) -> None:
    sdk, first = both.sdk, VersionRefIndicator(agent_version="1")
    keyword = "agents.create_session(version_indicator)"
    await agent(sdk)
    made = await sdk.call(keyword, "a", version_indicator=first, agent_session_id="session-one")
    assert (made.agent_session_id, made.version_indicator.agent_version) == ("session-one", "1")
    ids = ["session-one", *[await session(sdk) for _ in range(2)]]
    assert [each.agent_session_id for each in await sdk.items("agents.list_sessions", "a", limit=2)] == ids[::-1]
    await sdk.call("agents.stop_session", "a", ids[0])
    assert (await sdk.call("agents.get_session", "a", ids[0])).status == "idle"
    for _ in "twice":
        await sdk.call("agents.delete_session", "a", ids[0])
    for method in ("agents.get_session", "agents.stop_session"):
        await sdk.refused(method, "a", ids[0])
    await sdk.refused("agents.list_sessions", "nobody")
    await sdk.refused("agents.create_session({})", "nobody", {})
    await sdk.refused(keyword, "a", version_indicator=VersionRefIndicator(agent_version="9"))
    await agent(sdk, "slow", ready_after="30")
    slow = await sdk.refused(keyword, "slow", version_indicator=first, agent_session_id="session-slow")
    assert (slow.response.headers["x-agent-session-id"], "session-slow" in slow.message) == ("session-slow", True)
    await agent(sdk, "crash", crash="true")
    await sdk.refused(keyword, "crash", version_indicator=first, retry_total=0)
    await sdk.call("agents.disable", "a")
    await sdk.refused("agents.create_session({})", "a", {})
