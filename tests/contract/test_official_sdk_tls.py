"""The official SDK, sync and async and with nothing but its documented settings, drives the emulator over TLS."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.projects import AIProjectClient
from azure.ai.projects.aio import AIProjectClient as AsyncProjectClient
from azure.ai.projects.models import HostedAgentDefinition
from azure.core.credentials import AccessToken

from emulated import ECHO
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle


class Credential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        assert scopes == ("https://ai.azure.com/.default",)
        return AccessToken("local", int(time.time()) + 3600)  # noqa: TID251


class AsyncCredential:
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return Credential().get_token(*scopes)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> "AsyncCredential":
        return self

    async def __aexit__(self, *reason: object) -> None:
        pass


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EmulatorConfig:
    folder = tmp_path_factory.mktemp("state")
    return EmulatorConfig(port=0, state_dir=folder, tls=True, lifecycle=Lifecycle("immediate"))


@pytest.fixture(scope="module")
def base_url(config: EmulatorConfig) -> Iterator[str]:
    with running(config) as url:
        yield url


def test_the_sync_client_and_its_openai_client_trust_the_written_authority(
    base_url: str, config: EmulatorConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(config.ca_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(config.ca_path))
    with AIProjectClient(f"{base_url}/api/projects/tls", Credential()) as project:
        version = project.agents.create_version("echo", definition=HostedAgentDefinition(ECHO))
        assert version.status == "active"
        with project.get_openai_client(agent_name="echo") as client:
            assert client.responses.create(input="hello").output_text == "hello"


async def test_the_async_client_trusts_the_written_authority(base_url: str, config: EmulatorConfig) -> None:
    client = AsyncProjectClient(
        f"{base_url}/api/projects/tls-async", AsyncCredential(), connection_verify=str(config.ca_path)
    )
    async with client as project:
        await project.agents.create_version("echo", definition=HostedAgentDefinition(ECHO))
        assert [agent.name async for agent in project.agents.list()] == ["echo"]
        session = await project.agents.create_session("echo", {})
        await project.agents.delete_session("echo", session.agent_session_id)


def test_the_authority_survives_a_restart(tmp_path: Path) -> None:
    config = EmulatorConfig(port=0, state_dir=tmp_path, tls=True)
    with running(config):
        before = config.ca_path.read_bytes()
    with running(config):
        assert config.ca_path.read_bytes() == before
