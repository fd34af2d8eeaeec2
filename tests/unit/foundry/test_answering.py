"""An answer is read to its end, in one piece or as a stream, and what broke off or failed on the way is told so."""

import json
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from foundry_rollouts.core.model.sources import Prompt
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry import answering
from foundry_rollouts.ports import Answer
from foundry_rollouts.signals.expectations import flaw
from unit.foundry.scripted import scripted

SECOND = timedelta(seconds=1)
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "hello"}]}
WELL = {"object": "response", "status": "completed", "output": [MESSAGE]}
BROKEN = {"object": "response", "status": "failed", "output": [], "error": {"code": "server_error"}}


class Bits(httpx.AsyncByteStream):
    """A body that comes in bits, and may break off or stand still."""

    def __init__(self, bits: Iterable[bytes], breaks: Exception | None = None) -> None:
        self._bits, self._breaks = bits, breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for bit in self._bits:
            yield bit
        if self._breaks:
            raise self._breaks


def event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


CREATED, DELTA = (
    event("response.created", response={**WELL, "status": "in_progress"}),
    event("response.output_text.delta", delta="hello"),
)
COMPLETED, FAILED = event("response.completed", response=WELL), event("response.failed", response=BROKEN)


async def told(
    *bits: bytes, breaks: Exception | None = None, media: str = "text/event-stream", asked: Any = "hi"
) -> Answer:
    """Return how an answer in these bits is read."""
    headers = {"content-type": media} if media else {}
    client, cloud = scripted(httpx.Response(200, headers=headers, stream=Bits(bits, breaks)))
    answer = await client.ask("a", "session-1", asked, SECOND, stream=True)
    assert cloud.asked[0].headers["accept"].startswith("text/event-stream")
    assert cloud.body().get("stream") is (True if isinstance(asked, str) else None)
    return answer


async def cause(*bits: bytes, **how: Any) -> str | None:
    return flaw(await told(*bits, **how), Prompt("p", how.get("asked", "hi")))


async def test_a_stream_is_answered_by_its_final_response() -> None:
    answer = await told(CREATED, DELTA, COMPLETED)
    assert (json.loads(answer.text), answer.is_whole, answer.code) == (WELL, True, None)
    assert answer.latency > timedelta(0)
    assert await cause(CREATED, DELTA, COMPLETED) is None


async def test_events_without_names_are_known_by_their_type() -> None:
    bare = b"".join(b"data: " + bit.split(b"data: ")[1] for bit in (CREATED, DELTA, COMPLETED))
    assert await cause(bare) is None


async def test_a_stream_may_end_by_the_word_that_says_so() -> None:
    assert await cause(CREATED, DELTA, b"data: [DONE]\n\n") is None
    assert await cause(CREATED, b"data: [DONE]\n\n") == "response empty"


@pytest.mark.parametrize("bits", [(), (CREATED,), (CREATED, DELTA), (b": keep-alive\n\n",), (CREATED, COMPLETED[:40])])
@pytest.mark.parametrize("breaks", [None, httpx.RemoteProtocolError("x"), httpx.ReadError("x")])
async def test_a_stream_without_its_end_is_none(bits: tuple[bytes, ...], breaks: Exception | None) -> None:
    assert await cause(*bits, breaks=breaks) == "stream without its end"


async def test_a_stream_that_broke_after_its_end_had_come_is_whole() -> None:
    assert await cause(CREATED, COMPLETED, breaks=httpx.ReadError("x")) is None


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ((CREATED, FAILED), "response failed"),
        ((CREATED, FAILED, COMPLETED), "response failed"),
        ((CREATED, event("response.incomplete", response={**WELL, "status": "incomplete"})), "response incomplete"),
        ((CREATED, event("error", code="server_error", message="x")), "error inside HTTP 200: server_error"),
        ((CREATED, event("error", error={"code": "boom"}), COMPLETED), "error inside HTTP 200: boom"),
        ((CREATED, b"event: error\ndata: oops\n\n", b"data: [DONE]\n\n"), "error inside HTTP 200: failed"),
        ((event("response.completed", response={**WELL, "output": []}),), "response empty"),
        ((event("response.completed", response={**WELL, "status": "in_progress"}),), "response in_progress"),
        ((event("response.completed", response="x"),), "stream without its end"),
    ],
)
async def test_a_failure_among_the_events_outweighs_the_end(bits: tuple[bytes, ...], expected: str) -> None:
    assert await cause(*bits) == expected


async def test_an_ordinary_answer_to_a_wish_for_a_stream_is_fine() -> None:
    assert await cause(json.dumps(WELL).encode(), media="application/json") is None


@pytest.mark.parametrize("asked", ["hi", {"n": 1}])
async def test_a_body_that_breaks_off_is_an_answer_cut_off_and_no_trouble_of_ours(asked: Any) -> None:
    broken = httpx.RemoteProtocolError("peer closed the connection")
    assert await cause(b'{"object": ', breaks=broken, media="application/json", asked=asked) == "answer cut off"
    assert await cause(breaks=broken, media="", asked=asked) == "answer cut off"


async def test_an_answer_without_an_end_is_read_for_so_long_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "LONGEST", 100)
    assert await cause(b"x" * 60, b"y" * 60, media="text/plain", asked={}) == "answer cut off"
    assert await cause(*[DELTA] * 3, COMPLETED) == "stream without its end"


async def test_what_invocations_stream_is_a_line_for_each_event() -> None:
    bits = (b'data: {"content": "one"}\n\n', b"data: two\n\n", b"data: [DONE]\n\n")
    answer = await told(*bits, asked={"n": 1})
    assert (answer.text, answer.is_whole) == ('{"content": "one"}\ntwo', True)
    assert await cause(*bits, asked={"n": 1}) is None
    assert await cause(*bits, breaks=httpx.ReadError("x"), asked={"n": 1}) == "stream without its end"
    assert await cause(b": nothing\n\n", asked={"n": 1}) == "empty answer"


@pytest.mark.parametrize("bit", [b'event: error\ndata: {"code": "boom"}\n\n', b'data: {"error": {"code": "boom"}}\n\n'])
async def test_an_error_in_what_invocations_stream_is_a_failure(bit: bytes) -> None:
    assert await cause(b"data: one\n\n", bit, asked={"n": 1}) == "error inside HTTP 200: boom"


async def test_a_stream_that_stands_still_is_no_answer_in_time_and_not_our_trouble() -> None:
    class Still(Bits):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            import asyncio

            yield CREATED
            await asyncio.Event().wait()

    client, _ = scripted(httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Still(())))
    with pytest.raises(CloudError) as late:
        await client.ask("a", "session-1", "hi", timedelta(milliseconds=50), stream=True)
    assert isinstance(late.value, TimeoutError)
    assert not late.value.is_ours
