"""Source code there and back, and drafts that become releases."""

import hashlib
from pathlib import Path

import httpx
import pytest

from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.definition import Code, Definition
from foundry_rollouts.foundry.download import DamagedDownloadError, unpack
from foundry_rollouts.foundry.packaging import Archive, zipped
from unit.foundry.scripted import a_version, an_agent, ok, refused, scripted

ARCHIVE = zipped({"main.py": b"print()", "lib/a.py": b"", "requirements.txt": b""})
HASH = ARCHIVE.sha256


def code(data: bytes = ARCHIVE.data, sha256: str = HASH, version: str = "2") -> httpx.Response:
    headers = {"x-ms-code-zip-sha256": sha256, "x-ms-agent-version": version}
    return httpx.Response(200, content=data, headers={k: v for k, v in headers.items() if v})


async def test_code_comes_back_as_it_was_sent_and_is_unpacked(tmp_path: Path) -> None:
    client, cloud = scripted(code(sha256=HASH.upper()))
    downloaded = await client.api.downloads.code("a", "2")
    assert (downloaded.version, downloaded.archive) == ("2", ARCHIVE)
    assert cloud.lines == ["GET /agents/a/code:download?agent_version=2"]
    assert len(unpack(downloaded.archive, tmp_path)) == 3
    assert (tmp_path / "main.py").read_bytes() == b"print()"


async def test_without_a_version_the_latest_comes_and_says_which_it_is() -> None:
    client, cloud = scripted(code(version="7"))
    assert (await client.api.downloads.code("a")).version == "7"
    assert cloud.lines == ["GET /agents/a/code:download"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (code(data=ARCHIVE.data[:-1]), "hash"),
        (code(sha256=hashlib.sha256(b"other").hexdigest()), "hash"),
        (code(sha256=""), "hash"),
        (code(version="1"), "got 1"),
        (code(version=""), "unknown"),
    ],
)
async def test_what_is_not_what_was_asked_for_is_refused(answer: httpx.Response, why: str) -> None:
    client, _ = scripted(answer)
    with pytest.raises(DamagedDownloadError, match=why):
        await client.api.downloads.code("a", "2")


async def test_an_agent_made_of_an_image_has_no_code() -> None:
    client, _ = scripted(refused(409, "AgentNotCodeBased", "Agent is made of an image"))
    with pytest.raises(CloudError, match="AgentNotCodeBased"):
        await client.api.downloads.code("a")


def test_unpacking_writes_over_nothing_and_not_outside(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("mine")
    with pytest.raises(UsageError, match=r"main\.py"):
        unpack(ARCHIVE, tmp_path)
    assert (tmp_path / "main.py").read_text() == "mine"
    with pytest.raises(UsageError, match="outside"):
        unpack(zipped({"../evil.py": b""}), tmp_path / "inner")
    with pytest.raises(UsageError, match="damaged"):
        unpack(Archive(b"no zip", "", ("x",)), tmp_path / "inner")


IMAGE_DRAFT = a_version(
    "draft-17", draft=True, definition={"kind": "hosted", "image": "i:1"}, description="d", metadata={"k": "v"}
)
CODE_DRAFT = a_version(
    "draft-17", definition={"kind": "hosted", "code_configuration": {"runtime": "python_3_13", "content_hash": "x"}}
)


async def test_a_draft_of_an_image_becomes_a_release_of_the_same_definition() -> None:
    client, cloud = scripted(ok(IMAGE_DRAFT), ok(an_agent(latest="3")), ok(a_version("4")))
    released = await client.api.drafts.promote("a", "draft-17")
    assert (released.version.version, released.is_new) == ("4", True)
    assert cloud.body() == {
        "definition": {"kind": "hosted", "container_configuration": {"image": "i:1"}},
        "description": "d",
        "metadata": {"k": "v"},
    }


async def test_a_draft_of_code_becomes_a_release_of_the_same_code() -> None:
    client, cloud = scripted(
        ok(CODE_DRAFT), code(version="draft-17"), ok(an_agent(latest="3")), ok(an_agent(latest="4"))
    )
    assert (await client.api.drafts.promote("a", "draft-17")).version.version == "4"
    assert cloud.asked[-1].headers["x-ms-code-zip-sha256"] == HASH
    assert ARCHIVE.data in cloud.asked[-1].content
    assert b"content_hash" not in cloud.asked[-1].content
    assert b'"draft"' not in cloud.asked[-1].content


async def test_a_release_is_not_promoted_again() -> None:
    client, cloud = scripted(ok(a_version("3")))
    with pytest.raises(UsageError, match="release already"):
        await client.api.drafts.promote("a", "3")
    assert cloud.is_over


async def test_a_draft_that_became_a_release_is_told() -> None:
    image, of_code = Definition(image="i"), Definition(code=Code())
    client, cloud = scripted(ok(a_version("4")), ok(a_version("draft-1")), ok(a_version("5")))
    assert (await client.api.drafts.of_image("a", image)).is_silent_release
    assert not (await client.api.drafts.of_code("a", ARCHIVE, of_code)).is_silent_release
    assert (await client.api.drafts.of_code("a", ARCHIVE, of_code)).is_silent_release
    assert all("DraftAgents=V1Preview" in request.headers["foundry-features"] for request in cloud.asked)


async def test_an_upload_that_led_to_nothing_is_told() -> None:
    agent = an_agent()
    agent["versions"] = {}
    client, _ = scripted(ok(agent), ok(agent), ok(agent))
    with pytest.raises(CloudError, match="no version"):
        await client.api.deploy.upload("a", ARCHIVE, Definition(code=Code()))
