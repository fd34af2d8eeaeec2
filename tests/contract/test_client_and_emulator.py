"""The client against the local Foundry: two separate readings of the same contract."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from foundry_rollouts.core.routing import Routing
from foundry_rollouts.emulator.background import running
from foundry_rollouts.emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Code, Definition, Labels
from foundry_rollouts.foundry.download import unpack
from foundry_rollouts.foundry.files import Place
from foundry_rollouts.foundry.following import Reconnecting
from foundry_rollouts.foundry.invocations import AnswerTimeoutError, Question, text_of
from foundry_rollouts.foundry.packaging import pack, zipped
from foundry_rollouts.foundry.polling import Pace
from foundry_rollouts.foundry.retry import RetryBudget
from foundry_rollouts.ports import VersionStatus

NUMBERS = itertools.count()
BRISK = Pace(timedelta(seconds=30), first=timedelta(seconds=0.05), every=timedelta(seconds=0.05))
RETRIES = RetryBudget(
    first=timedelta(milliseconds=10), jitter=timedelta(milliseconds=10), slow=timedelta(milliseconds=200)
)
PROTOCOLS = {"responses": "2.0.0", "invocations": "2.0.0"}
LATE = timedelta(seconds=20)

MAIN = b"""
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Agent(BaseHTTPRequestHandler):
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer({"status": "healthy"})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("asked", asked, flush=True)
        self.answer({"heard": asked, "version": os.environ["FOUNDRY_AGENT_VERSION"]})
    def log_message(self, *args):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Agent).serve_forever()
"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), seed=3)) as url:
        yield url


@pytest.fixture
async def control(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{base_url}/_emulator") as client:
        yield client
        await client.delete("/faults")
        await client.put("/lifecycle", json={"kind": "immediate"})
        await client.put("/clock", json={"speed": 1})
        await client.patch("/switches", json={"drafts_enabled": True})


@pytest.fixture
async def cloud(base_url: str) -> AsyncIterator[FoundryClient]:
    """A project nobody else has."""
    endpoint = f"{base_url}/api/projects/client-{next(NUMBERS)}"
    async with FoundryClient(endpoint, FixedToken(), retries=RETRIES) as client:
        yield client


def image(**behaviour: object) -> Definition:
    query = "&".join(f"{key}={value}" for key, value in behaviour.items())
    return Definition(image=f"emulator://echo?{query}".rstrip("?"), protocols=PROTOCOLS)


async def two_versions(cloud: FoundryClient) -> None:
    for reply in ("one", "two"):
        await cloud.api.versions.create("a", image(reply=reply))


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


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True, "applied": True},
        {"drop": True, "applied": False},
        {"status": 429, "retry_after": 0, "code": "rate_limit_exceeded"},
        {"status": 503},
    ],
)
async def test_a_change_of_routing_survives_a_fault(
    cloud: FoundryClient, control: httpx.AsyncClient, fault: dict[str, object]
) -> None:
    await two_versions(cloud)
    (await control.post("/faults", json={"operation": "agents.patch", "times": 1, **fault})).raise_for_status()
    await cloud.route("a", Routing.of({"1": 90, "2": 10}))
    assert (await cloud.agent("a")).routing == Routing.of({"1": 90, "2": 10})


async def test_a_session_whose_answer_was_lost_is_not_made_twice(
    cloud: FoundryClient, control: httpx.AsyncClient
) -> None:
    await two_versions(cloud)
    fault = {"operation": "sessions.create", "times": 1, "drop": True, "applied": True}
    (await control.post("/faults", json=fault)).raise_for_status()
    assert (await cloud.open_session("a", "1", "session-00000001")).version == "1"
    assert len([s async for s in cloud.sessions("a")]) == 1


async def test_a_version_whose_answer_was_lost_is_not_made_twice(
    cloud: FoundryClient, control: httpx.AsyncClient
) -> None:
    await cloud.api.versions.create("a", image(reply="one"))
    fault = {"operation": "versions.create", "times": 1, "drop": True, "applied": True}
    (await control.post("/faults", json=fault)).raise_for_status()
    made = await cloud.api.versions.create("a", image(reply="two"))
    assert (made.version.version, made.is_new) == ("2", True)
    assert [v.seen.version async for v in cloud.api.versions.all("a")] == ["2", "1"]


@pytest.mark.parametrize("operation", ["agents.create", "agents.update"])
async def test_code_whose_answer_was_lost_is_not_deployed_twice(
    cloud: FoundryClient, control: httpx.AsyncClient, operation: str
) -> None:
    definition = Definition(code=Code(), protocols=PROTOCOLS)
    if operation == "agents.update":
        await cloud.api.deploy.upload("a", zipped({"main.py": b"", "requirements.txt": b""}), definition)
    fault = {"operation": operation, "times": 1, "drop": True, "applied": True}
    (await control.post("/faults", json=fault)).raise_for_status()
    made = await cloud.api.deploy.upload("a", zipped({"main.py": MAIN, "requirements.txt": b""}), definition)
    assert made.is_new
    versions = [seen.seen.version async for seen in cloud.api.versions.all("a")]
    assert versions == (["1"] if operation == "agents.create" else ["2", "1"])


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


async def test_a_faulty_version_answers_with_its_status_and_a_slow_one_in_time_or_not(cloud: FoundryClient) -> None:
    await cloud.api.versions.create("a", image(error_rate=1))
    await cloud.api.versions.create("a", image(latency_ms=2000))
    await cloud.open_session("a", "1", "session-00000001")
    await cloud.open_session("a", "2", "session-00000002")
    answer = await cloud.ask("a", "session-00000001", "hi", LATE)
    assert (answer.status, answer.code) == (500, "server_error")
    with pytest.raises(AnswerTimeoutError):
        await cloud.ask("a", "session-00000002", "hi", timedelta(seconds=0.3))


async def test_an_answer_that_is_dropped_is_an_error_of_ours(cloud: FoundryClient, control: httpx.AsyncClient) -> None:
    await two_versions(cloud)
    await cloud.open_session("a", "1", "session-00000001")
    (await control.post("/faults", json={"operation": "responses.create", "times": 1, "drop": True})).raise_for_status()
    with pytest.raises(CloudError) as told:
        await cloud.ask("a", "session-00000001", "hi", LATE)
    assert told.value.refusal.code == "dropped"
    assert told.value.is_ours


async def test_a_streamed_answer_says_the_same_as_a_whole_one(cloud: FoundryClient) -> None:
    await cloud.api.versions.create("a", image(reply="one two three"))
    question = Question("a", "hi")
    pieces = [text_of(event) async for event in cloud.api.invocations.stream(question)]
    assert "".join(pieces) == (await cloud.api.invocations.ask(question)).said == "one two three"


async def test_a_conversation_keeps_its_session(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    conversation = await cloud.api.invocations.conversation("a")
    question = Question("a", "hi", conversation=conversation)
    sessions = {(await cloud.api.invocations.ask(question)).session for _ in range(3)}
    assert len(sessions) == 1
    assert None not in sessions


async def test_a_log_tells_what_the_session_writes(cloud: FoundryClient) -> None:
    await cloud.api.versions.create("a", image(log_error_rate=1))
    await cloud.open_session("a", "1", "session-00000001")
    async with asyncio.timeout(20), aclosing(cloud.api.logs.follow("a", "1", "session-00000001")) as lines:
        await cloud.ask("a", "session-00000001", "hi", LATE)
        asker = asyncio.create_task(cloud.ask("a", "session-00000001", "hi", LATE))
        async for line in lines:
            if "ERROR" in line.text:
                break
        await asker
    assert line.stream == "stderr"
    assert line.at is not None


async def test_a_log_is_followed_over_streams_that_end_and_no_line_is_doubled(
    cloud: FoundryClient, control: httpx.AsyncClient
) -> None:
    definition = Definition(code=Code(), protocols=PROTOCOLS, idle_timeout=timedelta(hours=4))
    await cloud.api.deploy.upload("a", zipped({"main.py": MAIN, "requirements.txt": b""}), definition)
    soon = Pace(timedelta(seconds=30), first=timedelta(seconds=0.05), every=timedelta(seconds=0.05))
    await cloud.api.versions.wait_until_active("a", "1", soon)
    await cloud.open_session("a", "1", "session-00000001")
    (await control.put("/clock", json={"speed": 600})).raise_for_status()  # a stream lives for three seconds

    async def keep_asking() -> None:
        for n in itertools.count():
            await cloud.ask("a", "session-00000001", {"n": n}, LATE)
            await asyncio.sleep(0.05)

    asker = asyncio.create_task(keep_asking())
    at_once = Reconnecting(pause=timedelta(milliseconds=10))
    streams, asked = 0, []
    try:
        async with asyncio.timeout(60), aclosing(cloud.api.logs.follow("a", "1", "session-00000001", at_once)) as log:
            async for line in log:
                streams += line.text == "session Running"
                asked += [line.text] if "asked" in line.text else []
                if streams >= 3 and "asked" in line.text:
                    break
    finally:
        asker.cancel()
    assert len(asked) == len(set(asked)) >= 10


async def test_a_log_of_a_session_that_is_not_there_is_missing(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    with pytest.raises(CloudError) as told:
        [line async for line in cloud.log_lines("a", "1", "session-99999999")]
    assert told.value.is_missing


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


async def test_a_slow_start_is_waited_for_in_the_same_session(cloud: FoundryClient, control: httpx.AsyncClient) -> None:
    (await control.put("/clock", json={"speed": 50})).raise_for_status()
    await cloud.api.versions.create("a", image(ready_after=1.5))
    session = await cloud.open_session("a", "1", "session-00000001")
    assert session.status in {"active", "idle"}
    assert len([s async for s in cloud.sessions("a")]) == 1


async def test_a_response_that_was_kept_is_read_and_deleted(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    told = await cloud.api.invocations.ask(Question("a", "hi"))
    response = httpx.Response(200, text=told.answer.text).json()["id"]
    assert (await cloud.api.responses.one("a", response))["id"] == response
    assert await cloud.api.responses.inputs("a", response)
    await cloud.api.responses.delete("a", response)
    with pytest.raises(CloudError):
        await cloud.api.responses.one("a", response)
