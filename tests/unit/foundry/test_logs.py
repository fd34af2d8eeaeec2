"""Log streams: every frame becomes a line, however it is cut on its way."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry_rollouts.errors import NOT_WHOLE, CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.ports import LogLine
from unit.foundry.scripted import ENDPOINT, refused, scripted

FRAMES = (
    'data: {"timestamp":"2026-03-10T09:33:17Z","session_id":"s","session_state":"Running","agent":"a"}\n\n'
    ": keep-alive\n\n"
    'event: log\ndata: {"timestamp":"2026-03-10T09:33:17.121Z","stream":"stdout","message":"grüße 你好 🚀"}\n\n'
    'event: log\r\ndata: {"timestamp":"2026-03-10T11:33:17.123456789+02:00",\r\n'
    'data: "stream":"stderr","message":"second"}\r\n\r\n'
    'event: log\ndata: {"stream":"status","message":"No logs since last 60 seconds"}\n\n'
    "event: log\ndata: not json at all\n\n"
    'event: error\ndata: {"error":{"message":"sandbox lost"}}\n\n'
    'event: novelty\ndata: {"stream":"elsewhere","message":"kept"}\n\n'
    'event: log\ndata: {"stream":"stdout","message":"cut off by the end'
).encode()

LINES = [
    LogLine(datetime(2026, 3, 10, 9, 33, 17, tzinfo=UTC), "status", "session Running"),
    LogLine(datetime(2026, 3, 10, 9, 33, 17, 121_000, tzinfo=UTC), "stdout", "grüße 你好 🚀"),
    LogLine(datetime(2026, 3, 10, 9, 33, 17, 123_456, tzinfo=UTC), "stderr", "second"),
    LogLine(None, "status", "No logs since last 60 seconds"),
    LogLine(None, "stdout", "not json at all"),
    LogLine(None, "status", "error: sandbox lost"),
    LogLine(None, "stdout", "kept"),
]


def streamed(chunks: list[bytes], ending: Exception | None = None) -> httpx.Response:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if ending:
            raise ending

    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body())


@settings(deadline=None)
@given(st.sets(st.integers(1, len(FRAMES) - 1), max_size=40))
async def test_lines_do_not_depend_on_how_the_stream_is_cut(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(FRAMES)]
    chunks = [FRAMES[a:b] for a, b in itertools.pairwise(edges)]
    client, _ = scripted(streamed(chunks))
    assert [line async for line in client.log_lines("a", "1", "session-1")] == LINES


async def test_a_log_is_asked_for_by_its_version() -> None:
    client, cloud = scripted(streamed([]))
    assert [line async for line in client.log_lines("a", "1", "session-1")] == []
    assert cloud.lines == ["GET /agents/a/versions/1/sessions/session-1:logstream"]
    assert cloud.asked[0].headers["accept"] == "text/event-stream"


async def test_a_sandbox_that_is_not_there_yet_is_missing() -> None:
    client, _ = scripted(refused(404, "not_found"))
    with pytest.raises(CloudError) as told:
        [line async for line in client.log_lines("a", "1", "session-1")]
    assert told.value.is_missing


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(httpx.ReadError("x"), "dropped"), (httpx.ReadTimeout("x"), "timeout")],
    ids=["breaks", "stalls"],
)
async def test_a_stream_that_breaks_or_stalls_gives_its_lines_first(trouble: httpx.TransportError, code: str) -> None:
    client, _ = scripted(streamed([FRAMES[:250]], trouble))
    seen: list[LogLine] = []

    async def read() -> None:
        async for line in client.log_lines("a", "1", "session-1"):
            seen.append(line)  # noqa: PERF401 - the lines before the error are the point

    with pytest.raises(CloudError) as told:
        await read()
    assert seen == LINES[:2]
    assert told.value.refusal.code == code


async def test_what_is_no_stream_of_events_is_refused() -> None:
    client, _ = scripted(httpx.Response(200, text="<html>"))
    with pytest.raises(CloudError) as told:
        [line async for line in client.log_lines("a", "1", "session-1")]
    assert told.value.refusal.code == NOT_WHOLE


async def test_a_stream_is_given_up_after_a_silence_longer_than_the_clouds_own_limit() -> None:
    patience: list[float | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        patience.append(request.extensions["timeout"]["read"])
        return streamed([])

    client = FoundryClient(ENDPOINT, FixedToken(), wire=httpx.MockTransport(answer))
    assert [line async for line in client.log_lines("a", "1", "session-1")] == []
    assert patience == [150.0]  # the cloud ends a silent stream after 120


RUBBISH = (
    b"\xff\xfe\x00\x00\n\n",
    b"data: \xff\xfe broken letters\n\n",
    b"event: log\ndata: [1, 2, 3]\n\n",
    b'event: log\ndata: {"timestamp": "yesterday", "stream": 7, "message": {"deep": null}}\n\n',
    b'event: log\ndata: {"timestamp": 1e300, "stream": "stdout", "message": null}\n\n',
    b"id: 7\nretry: soon\n\n",
    b"data: " + b"x" * 300_000 + b"\n\n",
    b"<html><body>Bad Gateway</body></html>\n\n",
)


@pytest.mark.parametrize("rubbish", RUBBISH, ids=range(len(RUBBISH)))
async def test_rubbish_in_a_stream_hides_none_of_the_lines_behind_it(rubbish: bytes) -> None:
    good = b'event: log\ndata: {"stream":"stdout","message":"still here"}\n\n'
    client, _ = scripted(streamed([rubbish, good]))
    lines = [line async for line in client.log_lines("a", "1", "session-1")]
    assert lines[-1] == LogLine(None, "stdout", "still here")
    assert len(lines) <= 2
