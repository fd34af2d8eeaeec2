"""The client about calls: answers, streams, conversations, responses that are kept."""

from datetime import timedelta

import httpx
import pytest

from contract.client.local import LATE, image, two_versions
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.invocations import AnswerTimeoutError, Question, text_of, version_of


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
