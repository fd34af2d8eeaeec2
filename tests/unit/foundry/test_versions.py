"""Versions: made from an image or an archive, drafted, waited for."""

from datetime import timedelta

import httpx
import pytest

from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.definition import Code, Definition, Labels
from foundry_rollouts.foundry.packaging import zipped
from foundry_rollouts.foundry.polling import Pace, WaitTimeoutError
from foundry_rollouts.foundry.versions import lacks_capacity
from foundry_rollouts.ports import VersionStatus
from unit.foundry.scripted import a_version, an_agent, ok, refused, scripted

IMAGE = Definition(image="reg.example/app:1")
CODE = Definition(code=Code())
ARCHIVE = zipped({"main.py": b"print()", "requirements.txt": b""})
BRISK = Pace(timedelta(seconds=5), first=timedelta(0), every=timedelta(0))


async def test_an_image_makes_a_version_in_the_current_dialect() -> None:
    client, cloud = scripted(refused(404, "not_found"), ok(a_version("1", "creating")))
    made = await client.api.versions.create("a", IMAGE, Labels("d", {"k": "v"}))
    assert (made.version.version, made.is_new) == ("1", True)
    assert cloud.lines == ["GET /agents/a", "POST /agents/a/versions"]
    assert cloud.body() == {
        "definition": {
            "kind": "hosted",
            "cpu": "1",
            "memory": "2Gi",
            "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}],
            "container_configuration": {"image": "reg.example/app:1"},
        },
        "description": "d",
        "metadata": {"k": "v"},
    }


async def test_an_unchanged_definition_is_told_as_known() -> None:
    client, _ = scripted(ok(an_agent(latest="4")), ok(a_version("4")))
    assert not (await client.api.versions.create("a", IMAGE)).is_new


async def test_a_create_is_repeated_since_the_cloud_knows_what_it_has() -> None:
    client, cloud = scripted(ok(an_agent()), refused(502), httpx.ReadError("x"), ok(a_version("2")))
    assert (await client.api.versions.create("a", IMAGE)).version.version == "2"
    assert cloud.is_over


async def test_a_draft_is_not_repeated_when_its_answer_is_lost() -> None:
    client, cloud = scripted(httpx.ReadError("x"))
    with pytest.raises(CloudError):
        await client.api.versions.create_draft("a", IMAGE)
    assert cloud.body()["draft"] is True


async def test_a_release_made_in_place_of_a_draft_is_noticed() -> None:
    client, _ = scripted(ok(a_version("draft-17")), ok(a_version("5")))
    assert (await client.api.versions.create_draft("a", IMAGE)).version.is_draft
    assert not (await client.api.versions.create_draft("a", IMAGE)).version.is_draft


async def test_an_archive_makes_the_agent_that_is_not_there() -> None:
    client, cloud = scripted(refused(404), ok(an_agent(latest="1")))
    made = await client.api.deploy.upload("a", ARCHIVE, CODE)
    assert (made.version.version, made.is_new) == ("1", True)
    assert cloud.lines == ["GET /agents/a", "POST /agents"]
    sent = cloud.asked[1]
    assert sent.headers["x-ms-agent-name"] == "a"
    assert sent.headers["x-ms-code-zip-sha256"] == ARCHIVE.sha256
    assert b'name="metadata"' in sent.content
    assert b'name="code"; filename="agent.zip"' in sent.content
    assert ARCHIVE.data in sent.content


async def test_an_archive_updates_the_agent_that_is_there() -> None:
    client, cloud = scripted(ok(an_agent(latest="1")), ok(an_agent(latest="2")))
    assert (await client.api.deploy.upload("a", ARCHIVE, CODE)).is_new
    assert cloud.lines[1] == "POST /agents/a"
    assert "x-ms-agent-name" not in cloud.asked[1].headers


async def test_an_agent_that_somebody_else_made_meanwhile_is_updated() -> None:
    client, cloud = scripted(refused(404), refused(409, "conflict"), ok(an_agent(latest="2")))
    assert (await client.api.deploy.upload("a", ARCHIVE, CODE)).version.version == "2"
    assert cloud.lines == ["GET /agents/a", "POST /agents", "POST /agents/a"]


async def test_the_same_archive_again_is_told_as_known() -> None:
    client, _ = scripted(ok(an_agent(latest="2")), ok(an_agent(latest="2")))
    assert not (await client.api.deploy.upload("a", ARCHIVE, CODE)).is_new


async def test_each_change_of_status_is_told_once_until_the_version_is_active() -> None:
    looks = ["creating", "creating", "active"]
    client, _ = scripted(*(ok(a_version("2", look)) for look in looks))
    told: list[VersionStatus] = []
    seen = await client.api.versions.wait_until_active("a", "2", BRISK, lambda seen: told.append(seen.status))
    assert seen.status is VersionStatus.ACTIVE
    assert told == [VersionStatus.CREATING, VersionStatus.ACTIVE]


async def test_waiting_survives_passing_trouble() -> None:
    client, _ = scripted(refused(404), *[httpx.ReadError("x")] * 4, ok(a_version("2", "pondering")), ok(a_version("2")))
    assert (await client.api.versions.wait_until_active("a", "2", BRISK)).status is VersionStatus.ACTIVE


async def test_waiting_ends_at_once_when_the_cloud_refuses_for_good() -> None:
    client, cloud = scripted(refused(403))
    with pytest.raises(CloudError):
        await client.api.versions.wait_until_active("a", "2", BRISK)
    assert cloud.is_over


async def test_a_version_that_failed_twice_in_a_row_ends_the_wait() -> None:
    failed = ok(a_version("2", "failed", error={"code": "CodeError", "message": "no pip"}))
    client, cloud = scripted(failed, ok(a_version("2", "creating")), failed, failed)
    assert (await client.api.versions.wait_until_active("a", "2", BRISK)).error == "CodeError: no pip"
    assert cloud.is_over


async def test_want_of_capacity_is_told_from_other_failures() -> None:
    looks = [
        a_version("2", "failed", error={"code": "ProvisioningError", "message": "NoClustersAvailable"}),
        a_version("2", "failed", error={"code": "ProvisioningError", "message": "broken"}),
        a_version("2"),
    ]
    client, _ = scripted(*map(ok, looks))
    assert [lacks_capacity(await client.version("a", "2")) for _ in looks] == [True, False, False]


async def test_a_wait_that_takes_too_long_says_so() -> None:
    client, _ = scripted(*[ok(a_version("2", "creating"))] * 1)
    pace = Pace(timedelta(milliseconds=20), first=timedelta(minutes=1))
    with pytest.raises(WaitTimeoutError, match="version 2 of a"):
        await client.api.versions.wait_until_active("a", "2", pace)


async def test_versions_are_listed_newest_first_and_drafts_only_on_request() -> None:
    client, cloud = scripted(ok({"data": [a_version("2")]}), ok({"data": [a_version("draft-1")]}))
    assert [v.seen.version async for v in client.api.versions.all("a")] == ["2"]
    assert [v.seen.is_draft async for v in client.api.versions.all("a", drafts=True)] == [True]
    assert cloud.lines[1].startswith("GET /agents/a/versions?order=desc&include_drafts=true")


async def test_deletes_take_force_only_on_request() -> None:
    client, cloud = scripted(*[ok({"deleted": True})] * 4)
    await client.api.versions.delete("a", "1")
    await client.api.versions.delete("a", "1", force=True)
    await client.api.agents.delete("a")
    await client.api.agents.delete("a", force=True)
    assert cloud.lines == [
        "DELETE /agents/a/versions/1",
        "DELETE /agents/a/versions/1?force=true",
        "DELETE /agents/a",
        "DELETE /agents/a?force=true",
    ]


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (Definition(), "exactly one"),
        (Definition(image="i", code=Code()), "exactly one"),
        (Definition(image="i", protocols={}), "no protocol"),
        (Definition(image="i", environment={"1X": ""}), "no name for"),
        (Definition(image="i", environment={"PORT": "1"}), "reserved"),
        (Definition(image="i", environment={"FOUNDRY_X": "1"}), "reserved"),
        (Definition(image="i", idle_timeout=timedelta(seconds=5)), "idle timeout"),
    ],
)
async def test_what_the_cloud_is_known_to_refuse_is_not_sent(definition: Definition, why: str) -> None:
    client, _ = scripted(ok(an_agent()))
    with pytest.raises(UsageError, match=why):
        await client.api.versions.create("a", definition)


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_would_change_the_path_is_not_sent(name: str) -> None:
    client, cloud = scripted()
    with pytest.raises(UsageError):
        await client.agent(name)
    assert cloud.asked == []


async def test_a_name_with_a_slash_stays_one_name() -> None:
    client, cloud = scripted(refused(404))
    with pytest.raises(CloudError):
        await client.agent("a/../b?x=1")
    assert cloud.lines == ["GET /agents/a%2F..%2Fb%3Fx%3D1"]
