"""The client about sessions: which version they are bound to, their order, their end, their files."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from contract.client.local import LATE, image, two_versions
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.files import Place
from foundry_rollouts.foundry.invocations import Question


async def test_a_session_answers_by_the_version_it_was_opened_on(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    for version, words in (("1", "one"), ("2", "two")):
        session = await cloud.open_session("a", version, f"session-0000000{version}")
        assert (session.version, session.status) == (version, "active")
        invoked = await cloud.api.invocations.ask(Question("a", "hi", session.id))
        assert (invoked.said, invoked.version, invoked.session) == (words, version, session.id)
        assert (await cloud.ask("a", session.id, {"n": 1}, LATE)).status == 200
    assert {s.version async for s in cloud.sessions("a")} == {"1", "2"}


async def test_sessions_are_stopped_and_deleted_as_often_as_one_likes(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    await cloud.open_session("a", "1", "session-00000001")
    for _ in range(2):
        await cloud.stop_session("a", "session-00000001")
    for _ in range(2):
        await cloud.delete_session("a", "session-00000001")
    assert [s async for s in cloud.sessions("a")] == []


async def test_sessions_are_listed_newest_first(cloud: FoundryClient, control: httpx.AsyncClient) -> None:
    await two_versions(cloud)
    (await control.put("/clock", json={"speed": 100})).raise_for_status()  # ages differ by seconds
    for number in range(3):
        await cloud.open_session("a", "1", f"session-0000000{number}")
        await asyncio.sleep(0.05)
    seen = [session async for session in cloud.sessions("a")]
    assert [session.id for session in seen] == [f"session-0000000{number}" for number in (2, 1, 0)]


async def test_opening_the_same_session_again_finds_it(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    first = await cloud.open_session("a", "1", "session-00000001")
    assert await cloud.open_session("a", "1", "session-00000001") == first


async def test_a_slow_start_is_waited_for_in_the_same_session(cloud: FoundryClient, control: httpx.AsyncClient) -> None:
    (await control.put("/clock", json={"speed": 50})).raise_for_status()
    await cloud.api.versions.create("a", image(ready_after=1.5))
    session = await cloud.open_session("a", "1", "session-00000001")
    assert session.status in {"active", "idle"}
    assert len([s async for s in cloud.sessions("a")]) == 1


async def test_files_go_into_a_session_and_come_back(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    await cloud.open_session("a", "1", "session-00000001")
    place = Place("a", "session-00000001", "notes/ä b.txt")
    assert await cloud.api.files.upload(place, b"abc") == 3
    assert await cloud.api.files.download(place) == b"abc"
    assert [file.name for file in await cloud.api.files.list(replace(place, path="notes"))] == ["ä b.txt"]
    await cloud.api.files.delete(replace(place, path="notes"), recursive=True)
    with pytest.raises(CloudError) as told:
        await cloud.api.files.download(place)
    assert told.value.is_missing
