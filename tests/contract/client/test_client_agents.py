"""The client about agents: routing, closing, paging, deleting."""

import asyncio
from pathlib import Path

import pytest

from contract.client.local import LATE, RETRIES, image, two_versions
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.ports import VersionStatus


async def test_a_new_agent_follows_the_latest_until_it_is_pinned(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    seen = await cloud.agent("a")
    assert not seen.routing.is_pinned
    assert seen.latest is not None
    assert (seen.latest.version, seen.latest.status) == ("2", VersionStatus.ACTIVE)
    await cloud.route("a", Routing.of({"1": 100}))
    assert (await cloud.agent("a")).routing == Routing.of({"1": 100})


async def test_weights_are_read_back_and_the_protocols_stay(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    before = await cloud.api.agents.one("a")
    await cloud.route("a", Routing.of({"1": 90, "2": 10}))
    after = await cloud.api.agents.one("a")
    assert after.seen.routing == Routing.of({"1": 90, "2": 10})
    assert after.protocols == before.protocols != ()
    assert after.principal


async def test_a_disabled_agent_is_closed_refuses_and_opens_again(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    session = await cloud.open_session("a", "1", "session-00000001")
    await cloud.disable("a")
    await cloud.disable("a")
    assert not (await cloud.agent("a")).routing.is_open
    assert (await cloud.ask("a", session.id, "hi", LATE)).status == 403
    await cloud.enable("a")
    assert (await cloud.agent("a")).routing.is_open


async def test_more_agents_than_one_page_holds_are_all_seen_once(cloud: FoundryClient) -> None:
    await asyncio.gather(*(cloud.api.versions.create(f"a{n:03}", image()) for n in range(103)))
    names = [agent.name async for agent in cloud.agents()]
    assert sorted(names) == [f"a{n:03}" for n in range(103)]


async def test_deletes_are_refused_while_sessions_live_unless_forced(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    await cloud.open_session("a", "1", "session-00000001")
    with pytest.raises(CloudError) as told:
        await cloud.api.agents.delete("a")
    assert told.value.refusal.status == 409
    await cloud.api.versions.delete("a", "1", force=True)
    await cloud.api.agents.delete("a", force=True)
    with pytest.raises(CloudError) as told:
        await cloud.agent("a")
    assert told.value.is_missing


async def test_a_local_foundry_with_tls_is_trusted_by_its_own_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EmulatorConfig(port=0, state_dir=tmp_path, tls=True)
    with running(config) as base_url:
        stranger = FoundryClient(f"{base_url}/api/projects/p", FixedToken(), retries=RETRIES)
        with pytest.raises(CloudError) as told:
            await stranger.agent("a")
        assert told.value.refusal.code == "connection"
        await stranger.aclose()
        monkeypatch.setenv("SSL_CERT_FILE", str(config.ca_path))
        async with FoundryClient(f"{base_url}/api/projects/p", FixedToken(), retries=RETRIES) as client:
            assert [agent async for agent in client.agents()] == []
