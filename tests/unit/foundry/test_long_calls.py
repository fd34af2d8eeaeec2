"""Calls that go on after their answer, kept responses, streams and files of sessions."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.files import LIMIT_BYTES, FileSeen, Place
from foundry_rollouts.foundry.invocations import Question, text_of
from foundry_rollouts.foundry.long_calls import LongCall
from foundry_rollouts.foundry.polling import Pace, WaitTimeoutError
from unit.foundry.scripted import ok, refused, scripted

BRISK = Pace(timedelta(seconds=5), first=timedelta(0), every=timedelta(0), missing=3)
CALL = LongCall("a", "i-1", "session-1")


async def test_an_accepted_call_names_what_to_ask_for() -> None:
    client, _ = scripted(ok({}, 202, x_agent_invocation_id="i-1", x_agent_session_id="session-1", retry_after="2"))
    invoked = await client.api.invocations.ask(Question("a", {}))
    assert (invoked.is_accepted, invoked.invocation, invoked.session) == (True, "i-1", "session-1")


async def test_a_long_call_is_waited_for_through_not_yet_known_and_running() -> None:
    client, cloud = scripted(
        refused(404), ok({"status": "running"}), ok({}, 202, retry_after="0.02"), ok({"status": "Completed", "n": 1})
    )
    done = await client.api.long_calls.wait(CALL, BRISK)
    assert (done.state, done.is_over) == ("completed", True)
    assert '"n"' in done.text
    assert set(cloud.lines) == {
        "GET /agents/a/endpoint/protocols/invocations/i-1?agent_session_id=session-1",
    }


async def test_a_long_call_that_is_never_known_is_missing() -> None:
    client, cloud = scripted(*[refused(404)] * 4)
    with pytest.raises(CloudError):
        await client.api.long_calls.wait(CALL, BRISK)
    assert cloud.is_over


async def test_a_long_call_that_takes_too_long_says_so() -> None:
    client, _ = scripted(ok({"status": "running"}))
    pace = Pace(timedelta(milliseconds=20), first=timedelta(minutes=1))
    with pytest.raises(WaitTimeoutError, match="i-1"):
        await client.api.long_calls.wait(CALL, pace)


async def test_a_long_call_is_cancelled() -> None:
    client, cloud = scripted(ok({"status": "cancelled"}))
    assert (await client.api.long_calls.cancel(CALL)).is_over
    assert cloud.lines[0].startswith("POST /agents/a/endpoint/protocols/invocations/i-1/cancel?")


async def test_a_patient_question_outlives_a_sandbox_that_wakes() -> None:
    client, cloud = scripted(refused(502, "SandboxIdle", retry_after="0"), ok({"output": [], "agent_reference": {}}))
    invoked = await client.api.invocations.ask_patiently(Question("a", "hi", conversation="c-1"))
    assert invoked.answer.status == 200
    assert cloud.body() == {"input": "hi", "conversation": "c-1"}


async def test_who_answered_is_read_from_the_answer() -> None:
    output = [{"content": [{"type": "output_text", "text": "good"}, {"type": "output_text", "text": "bye"}]}]
    reference = {"name": "a", "version": "3"}
    client, _ = scripted(
        ok({"agent_session_id": "s-2", "agent_reference": reference, "output": output}), httpx.Response(200, text="x")
    )
    invoked = await client.api.invocations.ask(Question("a", "hi"))
    assert (invoked.version, invoked.session, invoked.said) == ("3", "s-2", "goodbye")
    assert (await client.api.invocations.ask(Question("a", {}))).said == "x"


async def test_a_question_may_be_asked_on_behalf_of_a_user() -> None:
    client, cloud = scripted(ok())
    await client.api.invocations.ask(Question("a", {}, user="ann@example.org"))
    assert cloud.asked[0].headers["x-ms-user-identity"] == "ann@example.org"
    with pytest.raises(UsageError, match="user"):
        Question("a", {}, user="ann\r\nx: y")


async def test_a_streamed_answer_gives_its_text_piece_by_piece() -> None:
    body = (
        'event: response.created\ndata: {"type":"response.created"}\n\n'
        'event: response.output_text.delta\ndata: {"delta":"good"}\n\n: keep-alive\n\n'
        'event: response.output_text.delta\ndata: {"delta":"bye"}\n\n'
    )
    client, cloud = scripted(httpx.Response(200, text=body, headers={"content-type": "text/event-stream"}))
    pieces = [text_of(event) async for event in client.api.invocations.stream(Question("a", "hi", "session-1"))]
    assert "".join(pieces) == "goodbye"
    assert cloud.body() == {"input": "hi", "stream": True, "agent_session_id": "session-1"}


async def test_an_answer_that_is_no_stream_is_one_event() -> None:
    client, _ = scripted(httpx.Response(200, text='{"a":1}', headers={"content-type": "application/json"}))
    events = [event async for event in client.api.invocations.stream(Question("a", {}))]
    assert [event.data for event in events] == ['{"a":1}']


async def test_a_conversation_is_opened() -> None:
    client, cloud = scripted(ok({"id": "conv-1", "object": "conversation"}))
    assert await client.api.invocations.conversation("a") == "conv-1"
    assert cloud.lines == ["POST /agents/a/endpoint/protocols/openai/conversations"]


async def test_kept_responses_are_read_cancelled_and_deleted() -> None:
    client, cloud = scripted(ok({"id": "r"}), ok({"data": [{"x": 1}]}), ok({"id": "r", "status": "cancelled"}), ok())
    responses = client.api.responses
    assert (await responses.one("a", "r"))["id"] == "r"
    assert await responses.inputs("a", "r") == [{"x": 1}]
    assert (await responses.cancel("a", "r"))["status"] == "cancelled"
    await responses.delete("a", "r")
    assert [line.removeprefix("GET /agents/a/endpoint/protocols/openai/") for line in cloud.lines[:2]] == [
        "responses/r",
        "responses/r/input_items",
    ]


FILE = Place("a", "session-1", "/notes/ä.txt")


async def test_files_of_a_session_are_written_read_listed_and_deleted() -> None:
    entry = {"name": "ä.txt", "size": 3, "is_directory": False, "modified_time": 1_780_000_000}
    client, cloud = scripted(
        ok({"path": "/notes/ä.txt", "bytes_written": 3}, 201),
        httpx.Response(200, content=b"abc"),
        ok({"entries": [entry, {"name": "d", "is_dir": True}]}),
        httpx.Response(204),
    )
    assert await client.api.files.upload(FILE, b"abc") == 3
    assert await client.api.files.download(FILE) == b"abc"
    assert await client.api.files.list(Place("a", "session-1")) == (
        FileSeen("ä.txt", 3, is_folder=False, modified_at=datetime.fromtimestamp(1_780_000_000, UTC)),
        FileSeen("d", 0, is_folder=True),
    )
    await client.api.files.delete(FILE, recursive=True)
    home = "/agents/a/endpoint/sessions/session-1/files"
    assert cloud.lines == [
        f"PUT {home}/content?path=%2Fnotes%2F%C3%A4.txt",
        f"GET {home}/content?path=%2Fnotes%2F%C3%A4.txt",
        f"GET {home}?path=%2F",
        f"DELETE {home}?path=%2Fnotes%2F%C3%A4.txt&recursive=true",
    ]


async def test_a_file_that_is_too_large_is_not_sent() -> None:
    client, cloud = scripted()
    with pytest.raises(UsageError, match="50"):
        await client.api.files.upload(FILE, bytes(LIMIT_BYTES + 1))
    assert cloud.asked == []
