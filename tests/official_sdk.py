"""What tests of the official SDK share: its credentials over plain HTTP, and short ways to make versions."""

import io
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.ai.projects import AIProjectClient
from azure.ai.projects.models import (
    AgentEndpointConfig,
    AgentVersionDetails,
    CodeConfiguration,
    FixedRatioVersionSelectionRule,
    HostedAgentDefinition,
    ProtocolVersionRecord,
    VersionSelectionRule,
    VersionSelector,
)
from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from emulated import AGENT, ECHO, a_zip

NUMBERS = itertools.count()


class PlainBearer(SansIOHTTPPolicy[Any, Any]):
    """Sets the header that the SDK's own policy refuses to send without TLS."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = "Bearer local"


class FixedCredential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("local", int(time.time()) + 3600)  # noqa: TID251


@contextmanager
def an_sdk_project(base_url: str) -> Iterator[AIProjectClient]:
    """Give the client of a project that nobody else has."""
    address = f"{base_url}/api/projects/sdk-{next(NUMBERS)}"
    with AIProjectClient(address, FixedCredential(), authentication_policy=PlainBearer()) as client:
        yield client


def echo(**settings: str) -> HostedAgentDefinition:
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    image = f"emulator://echo?{query}".rstrip("?")
    return HostedAgentDefinition({**ECHO, "container_configuration": {"image": image}})


def archive(source: str) -> io.BytesIO:
    buffer = io.BytesIO(a_zip({"main.py": source, "requirements.txt": ""}))
    buffer.name = "agent.zip"
    return buffer


def code_version(project: AIProjectClient, agent: str, code: str = AGENT) -> AgentVersionDetails:
    definition = HostedAgentDefinition(
        cpu="1",
        memory="2Gi",
        code_configuration=CodeConfiguration(
            runtime="python_3_13", entry_point=["python", "main.py"], dependency_resolution="remote_build"
        ),
        protocol_versions=[ProtocolVersionRecord(protocol="responses", version="2.0.0")],
    )
    return project.agents.create_version_from_code(agent, definition=definition, code=archive(code))


def settled(project: AIProjectClient, version: AgentVersionDetails) -> AgentVersionDetails:
    for _ in range(400):
        version = project.agents.get_version(version.name, version.version)
        if version.status != "creating":
            return version
        time.sleep(0.02)
    raise AssertionError("the version stayed in creating")


def active(project: AIProjectClient, version: AgentVersionDetails) -> str:
    version = settled(project, version)
    assert version.status == "active", version.get("error")
    return version.version


def route(project: AIProjectClient, agent: str, **percent: int) -> Any:
    rules: list[VersionSelectionRule] = [
        FixedRatioVersionSelectionRule(agent_version=name.strip("v"), traffic_percentage=share)
        for name, share in percent.items()
    ]
    selector = VersionSelector(version_selection_rules=rules)
    return project.agents.update_details(agent, agent_endpoint=AgentEndpointConfig(version_selector=selector))
