"""What the client sends is what the official SDK sends, field by field, but for the differences listed here."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from azure.ai.projects import AIProjectClient
from azure.ai.projects.models import (
    AgentEndpointConfig,
    CodeConfiguration,
    ContainerConfiguration,
    FixedRatioVersionSelectionRule,
    HostedAgentDefinition,
    PromptAgentDefinition,
    ProtocolVersionRecord,
    VersionRefIndicator,
    VersionSelectionRule,
    VersionSelector,
)

from emulated import AGENT
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Code, Definition, PromptDefinition
from foundry_rollouts.foundry.files import Place
from foundry_rollouts.foundry.invocations import Question
from foundry_rollouts.foundry.packaging import Archive
from official_sdk import archive
from official_sdk_flavours import Bearer, OwnPolicy
from recorded import Recorder, recording

SESSION = "session-00000001"
RULES: list[VersionSelectionRule] = [
    FixedRatioVersionSelectionRule(agent_version="1", traffic_percentage=90),
    FixedRatioVersionSelectionRule(agent_version="2", traffic_percentage=10),
]
SDK_DEFINITION = HostedAgentDefinition(
    cpu="1",
    memory="2Gi",
    container_configuration=ContainerConfiguration(image="reg.example/x:1"),
    protocol_versions=[ProtocolVersionRecord(protocol="responses", version="2.0.0")],
    environment_variables={"A": "b"},
)
OUR_DEFINITION = Definition(image="reg.example/x:1", environment={"A": "b"})

SDK_PROMPT = PromptAgentDefinition(model="m", instructions="Be brief.")
OUR_PROMPT = PromptDefinition({"model": "m", "instructions": "Be brief."})
REFERENCE = {"agent_reference": {"type": "agent_reference", "name": "a", "version": "2"}}

SDK_CODE = HostedAgentDefinition(
    cpu="1",
    memory="2Gi",
    code_configuration=CodeConfiguration(
        runtime="python_3_13", entry_point=["python", "main.py"], dependency_resolution="remote_build"
    ),
    protocol_versions=[ProtocolVersionRecord(protocol="responses", version="2.0.0")],
)
OUR_CODE = Definition(code=Code())

Theirs = Callable[[AIProjectClient], Any]
Ours = Callable[[FoundryClient], Any]


def opened(sdk: AIProjectClient, ask: Callable[[Any], Any], agent: str | None = "a") -> None:
    with sdk.get_openai_client(agent_name=agent) as client:
        ask(client)


async def every(items: AsyncIterator[Any]) -> None:
    assert [item async for item in items] == []


CALLS: dict[str, tuple[Theirs, Ours]] = {
    "get an agent": (lambda sdk: sdk.agents.get("a"), lambda our: our.agent("a")),
    "get a version": (lambda sdk: sdk.agents.get_version("a", "2"), lambda our: our.version("a", "2")),
    "route": (
        lambda sdk: sdk.agents.update_details(
            "a", agent_endpoint=AgentEndpointConfig(version_selector=VersionSelector(version_selection_rules=RULES))
        ),
        lambda our: our.route("a", Routing.of({"1": 90, "2": 10})),
    ),
    "enable": (lambda sdk: sdk.agents.enable("a"), lambda our: our.enable("a")),
    "disable": (lambda sdk: sdk.agents.disable("a"), lambda our: our.disable("a")),
    "create a version": (
        lambda sdk: sdk.agents.create_version("a", definition=SDK_DEFINITION),
        lambda our: our.api.versions.create("a", OUR_DEFINITION),
    ),
    "create a prompt version": (
        lambda sdk: sdk.agents.create_version("a", definition=SDK_PROMPT),
        lambda our: our.api.versions.create("a", OUR_PROMPT),
    ),
    "create a draft": (
        lambda sdk: sdk.agents.create_version("a", definition=SDK_DEFINITION, draft=True),
        lambda our: our.api.versions.create_draft("a", OUR_DEFINITION),
    ),
    "delete a version": (
        lambda sdk: sdk.agents.delete_version("a", "1", force=True),
        lambda our: our.api.versions.delete("a", "1", force=True),
    ),
    "delete an agent": (lambda sdk: sdk.agents.delete("a"), lambda our: our.api.agents.delete("a")),
    "open a session": (
        lambda sdk: sdk.agents.create_session(
            "a", version_indicator=VersionRefIndicator(agent_version="1"), agent_session_id=SESSION
        ),
        lambda our: our.open_session("a", "1", SESSION),
    ),
    "get a session": (lambda sdk: sdk.agents.get_session("a", SESSION), lambda our: our.api.sessions.one("a", SESSION)),
    "stop a session": (lambda sdk: sdk.agents.stop_session("a", SESSION), lambda our: our.stop_session("a", SESSION)),
    "delete a session": (
        lambda sdk: sdk.agents.delete_session("a", SESSION),
        lambda our: our.delete_session("a", SESSION),
    ),
    "list files": (
        lambda sdk: list(sdk.agents.list_session_files("a", SESSION, path="/")),
        lambda our: our.api.files.list(Place("a", SESSION)),
    ),
    "delete files": (
        lambda sdk: sdk.agents.delete_session_file("a", SESSION, path="/a.txt", recursive=True),
        lambda our: our.api.files.delete(Place("a", SESSION, "/a.txt"), recursive=True),
    ),
    "list agents": (lambda sdk: list(sdk.agents.list(limit=100)), lambda our: every(our.agents())),
    "list versions": (
        lambda sdk: list(sdk.agents.list_versions("a", limit=100, order="desc")),
        lambda our: every(our.api.versions.all("a")),
    ),
    "list versions and drafts": (
        lambda sdk: list(sdk.agents.list_versions("a", limit=100, order="desc", include_drafts=True)),
        lambda our: every(our.api.versions.all("a", drafts=True)),
    ),
    "list sessions": (
        lambda sdk: list(sdk.agents.list_sessions("a", limit=100, order="desc")),
        lambda our: every(our.sessions("a")),
    ),
    "follow a log": (
        lambda sdk: list(sdk.agents.get_session_log_stream("a", "1", SESSION)),
        lambda our: every(our.log_lines("a", "1", SESSION)),
    ),
    "upload a file": (
        lambda sdk: sdk.agents.upload_session_file("a", SESSION, b"x", path="/a.txt"),
        lambda our: our.api.files.upload(Place("a", SESSION, "/a.txt"), b"x"),
    ),
    "download a file": (
        lambda sdk: list(sdk.agents.download_session_file("a", SESSION, path="/a.txt")),
        lambda our: our.api.files.download(Place("a", SESSION, "/a.txt")),
    ),
    "download code": (
        lambda sdk: list(sdk.agents.download_code("a", agent_version="1")),
        lambda our: our.api.downloads.code("a", "1"),
    ),
    "deploy code": (
        lambda sdk: sdk.agents.create_version_from_code("a", definition=SDK_CODE, code=archive(AGENT)),
        lambda our: our.api.deploy.upload("a", Archive.of(archive(AGENT).getvalue()), OUR_CODE),
    ),
    "respond": (
        lambda sdk: opened(
            sdk, lambda client: client.responses.create(input="hi", extra_body={"agent_session_id": SESSION})
        ),
        lambda our: our.api.invocations.ask(Question("a", "hi", SESSION)),
    ),
    "respond in a stream": (
        lambda sdk: opened(sdk, lambda client: list(client.responses.create(input="hi", stream=True))),
        lambda our: every(our.api.invocations.stream(Question("a", "hi"))),
    ),
    "respond as one version": (
        lambda sdk: opened(sdk, lambda client: client.responses.create(input="hi", extra_body=REFERENCE), None),
        lambda our: our.api.invocations.ask(Question("a", "hi", version="2")),
    ),
    "open a conversation": (
        lambda sdk: opened(sdk, lambda client: client.conversations.create()),
        lambda our: our.api.invocations.conversation("a"),
    ),
    "read a response": (
        lambda sdk: opened(sdk, lambda client: client.responses.retrieve("r")),
        lambda our: our.api.responses.one("a", "r"),
    ),
    "read what was asked": (
        lambda sdk: opened(sdk, lambda client: list(client.responses.input_items.list("r"))),
        lambda our: our.api.responses.inputs("a", "r"),
    ),
    "cancel a response": (
        lambda sdk: opened(sdk, lambda client: client.responses.cancel("r")),
        lambda our: our.api.responses.cancel("a", "r"),
    ),
    "delete a response": (
        lambda sdk: opened(sdk, lambda client: client.responses.delete("r")),
        lambda our: our.api.responses.delete("a", "r"),
    ),
}
OPENAI = tuple(name for name in CALLS if "respon" in name or "conversation" in name or "asked" in name)
AZURE = tuple(name for name in CALLS if name not in OPENAI)

STAINLESS = (
    "arch",
    "async",
    "lang",
    "os",
    "package-version",
    "read-timeout",
    "retry-count",
    "runtime",
    "runtime-version",
)

#: Field, where it differs, why. A difference that is not here fails, and so does one here that is none.
DIFFERENCES: list[tuple[str, tuple[str, ...], str]] = [
    ("header user-agent", tuple(CALLS), "Each names itself."),
    ("header x-ms-client-request-id", AZURE, "The cloud makes an id when it is given none; ours is not logged."),
    *(
        (f"header x-stainless-{name}", OPENAI, "The OpenAI client describes its own machine and settings.")
        for name in STAINLESS
    ),
    (
        "header accept",
        (
            "enable",
            "disable",
            "stop a session",
            "delete a session",
            "delete files",
            "download a file",
            "delete a response",
        ),
        "We take JSON everywhere, since refusals are JSON; these answers have no body, or bytes of any type.",
    ),
    ("header accept", ("respond in a stream",), "We say that we stream; the OpenAI client says it in the body only."),
    ("header content-type", ("cancel a response", "delete a response"), "There is no body that could have a type."),
    (
        "header foundry-features",
        tuple(name for name in OPENAI if name != "respond as one version"),
        "The OpenAI client opts in to every preview; the agents' own endpoint asks for none.",
    ),
    ("header foundry-features", ("route",), "Older interfaces ask for the opt-in to endpoints; it is harmless since."),
    ("header foundry-features", ("create a draft",), "The interface's definition ties drafts to this opt-in."),
    (
        "header foundry-features",
        ("follow a log", "deploy code"),
        "The guides send this opt-in; it is harmless without.",
    ),
    (
        "number of requests",
        ("create a version", "create a prompt version", "deploy code"),
        "We look at the agent first: only then can we say whether the version is new, or the agent must be made.",
    ),
    ("path", ("deploy code",), "We upload to the agent as azd does: this route can make the agent too."),
    ("type of part metadata", ("deploy code",), "The documents ask for the type; the SDK leaves it out."),
    ("type of part code", ("deploy code",), "The documents ask for a zip's own type; the SDK says bytes."),
]


async def differences(name: str) -> dict[str, tuple[Any, Any]]:
    """Return each field that differs: theirs, ours."""
    theirs, ours = CALLS[name]
    recorder = Recorder()
    with recording(recorder) as endpoint:
        options: Any = {"authentication_policy": OwnPolicy("emulator")}
        with AIProjectClient(endpoint, Bearer("emulator"), **options) as sdk:
            theirs(sdk)
        sent, recorder.asked = recorder.asked, []
        async with FoundryClient(endpoint, FixedToken()) as client:
            await ours(client)
    left, right = ({**asked[-1], "number of requests": len(asked)} for asked in (sent, recorder.asked))
    fields = {*left, *right}
    return {key: (left.get(key), right.get(key)) for key in fields if left.get(key) != right.get(key)}


@pytest.mark.parametrize("name", CALLS)
async def test_both_send_the_same_but_for_what_is_listed(name: str) -> None:
    found = await differences(name)
    listed = {field for field, where, _ in DIFFERENCES if name in where}
    assert {field: found[field] for field in found.keys() - listed} == {}, "these differ and are not listed"
    assert listed - found.keys() == set(), "these are listed and do not differ"


def test_every_difference_has_a_reason_and_a_place() -> None:
    assert all(reason.endswith(".") and set(where) <= set(CALLS) and where for _, where, reason in DIFFERENCES)
