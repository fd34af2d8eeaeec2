"""The client about versions: waiting for them, code and its download, drafts."""

from pathlib import Path

import httpx
import pytest

from contract.client.local import BRISK, LATE, MAIN, PROTOCOLS, image, two_versions
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Code, Definition, Labels
from foundry_rollouts.foundry.download import unpack
from foundry_rollouts.foundry.invocations import Question
from foundry_rollouts.foundry.packaging import pack, zipped
from foundry_rollouts.ports import VersionStatus


async def test_a_version_that_takes_its_time_is_waited_for(cloud: FoundryClient, control: httpx.AsyncClient) -> None:
    (await control.put("/lifecycle", json={"kind": "looks", "value": 3})).raise_for_status()
    made = await cloud.api.versions.create("a", image())
    told: list[VersionStatus] = []
    seen = await cloud.api.versions.wait_until_active(
        "a", made.version.version, BRISK, lambda seen: told.append(seen.status)
    )
    assert seen.status is VersionStatus.ACTIVE
    assert told == [VersionStatus.CREATING, VersionStatus.ACTIVE]


async def test_a_version_that_fails_tells_why(cloud: FoundryClient) -> None:
    made = await cloud.api.versions.create("a", Definition(image="reg.example/app:1"))
    seen = await cloud.api.versions.wait_until_active("a", made.version.version, BRISK)
    assert seen.status is VersionStatus.FAILED
    assert "ImageError" in (seen.error or "")


async def test_code_is_deployed_called_known_again_and_downloaded(cloud: FoundryClient, tmp_path: Path) -> None:
    definition = Definition(code=Code(), protocols=PROTOCOLS)
    source = tmp_path / "source"
    source.mkdir()
    (source / "main.py").write_bytes(MAIN)
    (source / "requirements.txt").write_text("")
    archive = pack(source)
    made = await cloud.api.deploy.upload("a", archive, definition, Labels("first"))
    assert (made.version.version, made.is_new) == ("1", True)
    seen = await cloud.api.versions.wait_until_active("a", "1", BRISK)
    assert seen.status is VersionStatus.ACTIVE, seen.error
    assert not (await cloud.api.deploy.upload("a", archive, definition)).is_new
    changed = zipped({"main.py": MAIN + b"\n", "requirements.txt": b""})
    assert (await cloud.api.deploy.upload("a", changed, definition)).version.version == "2"
    await cloud.open_session("a", "1", "session-00000001")
    answer = await cloud.ask("a", "session-00000001", {"n": 1}, LATE)
    assert '"version": "1"' in answer.text
    downloaded = await cloud.api.downloads.code("a", "1")
    assert downloaded.archive == archive
    assert len(unpack(downloaded.archive, tmp_path / "back")) == 2


async def test_an_agent_made_of_an_image_has_no_code_to_download(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    with pytest.raises(CloudError, match="AgentNotCodeBased"):
        await cloud.api.downloads.code("a")


async def test_a_draft_is_tried_and_promoted(cloud: FoundryClient) -> None:
    await cloud.api.versions.create("a", image(reply="one"))
    draft = (await cloud.api.drafts.of_image("a", image(reply="two"), Labels("try"))).version
    assert draft.is_draft
    assert [v.seen.version async for v in cloud.api.versions.all("a")] == ["1"]
    assert draft.version in [v.seen.version async for v in cloud.api.versions.all("a", drafts=True)]
    await cloud.open_session("a", draft.version, "session-00000001")
    assert (await cloud.api.invocations.ask(Question("a", "hi", "session-00000001"))).said == "two"
    released = await cloud.api.drafts.promote("a", draft.version)
    assert (released.version.version, released.is_new) == ("2", True)
    assert (await cloud.api.versions.one("a", "2")).description == "try"


async def test_a_draft_of_code_is_promoted_with_its_code(cloud: FoundryClient) -> None:
    definition = Definition(code=Code(), protocols=PROTOCOLS)
    first, second = (zipped({"main.py": MAIN, "requirements.txt": b"", "n": n}) for n in (b"1", b"2"))
    await cloud.api.deploy.upload("a", first, definition)
    draft = (await cloud.api.drafts.of_code("a", second, definition)).version
    released = await cloud.api.drafts.promote("a", draft.version)
    assert (await cloud.api.downloads.code("a", released.version.version)).archive == second


async def test_a_release_in_place_of_a_draft_is_noticed(cloud: FoundryClient, control: httpx.AsyncClient) -> None:
    (await control.patch("/switches", json={"drafts_enabled": False})).raise_for_status()
    made = await cloud.api.drafts.of_image("a", image())
    assert made.is_silent_release
    assert made.version.version == "1"
