"""The client about calls: answers, streams, conversations, responses that are kept."""

from datetime import timedelta

import httpx
import pytest

from contract.client.local import LATE, image, two_versions
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.invocations import AnswerTimeoutError, Begun, Question, text_of
from foundry_rollouts.foundry.serving import serving_of, version_of


async def test_a_faulty_version_answers_with_its_status_and_a_slow_one_in_time_or_not(cloud: FoundryClient) -> None:
    await cloud.api.versions.create("a", image(error_rate=1))
    await cloud.api.versions.create("a", image(latency_ms=2000))
    await cloud.open_session("a", "1", "session-00000001")
    await cloud.open_session("a", "2", "session-00000002")
    answer = await cloud.ask("a", "session-00000001", "hi", LATE)
    assert (answer.status, answer.code) == (500, "server_error")
    with pytest.raises(AnswerTimeoutError):
        await cloud.ask("a", "session-00000002", "hi", timedelta(seconds=0.3))


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


async def test_a_response_that_was_kept_is_read_and_deleted(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    told = await cloud.api.invocations.ask(Question("a", "hi"))
    response = httpx.Response(200, text=told.answer.text).json()["id"]
    assert (await cloud.api.responses.one("a", response))["id"] == response
    assert await cloud.api.responses.inputs("a", response)
    await cloud.api.responses.delete("a", response)
    with pytest.raises(CloudError):
        await cloud.api.responses.one("a", response)


async def test_an_answer_says_which_version_gave_it_by_header_or_by_reference(
    cloud: FoundryClient, control: httpx.AsyncClient
) -> None:
    await two_versions(cloud)
    await cloud.open_session("a", "2", "session-00000002")
    for switch, by_invocations in (("obeys", "2"), ("absent", None)):
        await control.patch("/switches", json={"version_override": switch})
        for stream in (False, True):
            answers = [await cloud.ask("a", "session-00000002", said, LATE, stream=stream) for said in ("hi", {"n": 1})]
            assert [answer.version for answer in answers] == ["2", by_invocations]
        assert (await cloud.api.invocations.ask(Question("a", {"n": 1}, "session-00000002"))).version == by_invocations


@pytest.mark.parametrize(
    ("header", "reference", "version"),
    [
        ("7", "6", "7"),
        ("latest", "6", "6"),
        ("7, 8", "6", "6"),
        ("", 6, "6"),
        ("", None, None),
        ("", "six of them", None),
    ],
)
def test_a_header_that_is_no_version_is_none(header: str, reference: object, version: str | None) -> None:
    assert version_of({"x-agent-version-resolved": header}, {"agent_reference": {"version": reference}}) == version
    assert version_of({}, {"agent_reference": "7"}) is None


@pytest.mark.parametrize(
    ("switch", "wish", "objection"),
    [
        ("obeys", "2", None),
        ("obeys", "latest", None),
        ("ignores", "2", "version 1 served"),
        ("falls-back", "2", "the service fell back to version 1"),
        ("absent", "2", "the answer does not say which version served"),
    ],
)
async def test_a_version_asked_for_one_call_is_compared_with_what_the_answer_says(
    cloud: FoundryClient, control: httpx.AsyncClient, switch: str, wish: str, objection: str | None
) -> None:
    await two_versions(cloud)
    await cloud.route("a", Routing.of({"1": 100}))
    await control.patch("/switches", json={"version_override": switch})
    for said in ("hi", {"n": 1}):
        question = Question("a", said, version_override=wish)
        begun: list[Begun] = []
        invoked = await cloud.api.invocations.ask(question)
        async for _ in cloud.api.invocations.stream(question, on_begin=begun.append):
            pass
        read = [await cloud.ask_version("a", wish, said, LATE, stream=stream) for stream in (False, True)]
        servings = [invoked.answer.serving, begun[0].serving, *(answer.serving for answer in read)]
        assert [serving.objection(wish) for serving in servings] == [objection] * 4
        opened = {invoked.session, begun[0].session, *(answer.session for answer in read)}
        assert len(opened & {session.id async for session in cloud.sessions("a")}) == 4


def test_a_wish_that_no_header_may_carry_is_never_sent() -> None:
    for version in ("7\r\nx: y", "", "7,8", "a" * 129):
        with pytest.raises(UsageError):
            Question("a", "hi", version_override=version)
    with pytest.raises(UsageError, match="a session keeps its version"):
        Question("a", "hi", "session-00000001", version_override="7")


@pytest.mark.parametrize(
    ("headers", "objection"),
    [
        ({"resolved": "7"}, None),
        ({"resolved": "7", "fallback": "false", "resolution": "x"}, None),
        ({"resolved": "7", "fallback": "True"}, "the service fell back to version 7"),
        ({"fallback": "true"}, "the service fell back"),
        ({"resolved": "7", "fallback": "true, true"}, "the answer does not say which version served"),
        ({"resolved": "7", "fallback": "perhaps"}, "the answer does not say which version served"),
        ({"resolved": "7, 7"}, "the answer does not say which version served"),
        ({"resolved": "latest"}, "the answer does not say which version served"),
        ({"resolved": "8"}, "version 8 served"),
        ({}, "the answer does not say which version served"),
    ],
)
def test_absent_doubled_and_malformed_headers_are_never_agreement(
    headers: dict[str, str], objection: str | None
) -> None:
    serving = serving_of({f"x-agent-version-{name}": value for name, value in headers.items()})
    assert serving.objection("7") == objection
