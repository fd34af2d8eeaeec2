"""Counts out of an address that answers with JSON: a real server that is good, silent, slow, dead or lying."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from answering import a_server, say
from builders import NOON
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.sources import HttpConfig
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.json_endpoint import HttpCounter, found_at, url_of
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.polling import CountQuery, PollingSource, PollTimings
from foundry_rollouts.signals.reported import SourceError
from unit.signals.session_world import Hand, a_watched

GOOD = {
    "1": {"counts": [{"calls": 90, "failed": 1}], "cost": 1.5},
    "2": {"counts": [{"calls": 10, "failed": 4}], "cost": 2},
}
WINDOW = Window(NOON, NOON + timedelta(seconds=30))
#: Every answer is waited for, whoever gives it or not: here there is one tick only.
TIMINGS = PollTimings(answer_within=timedelta(seconds=30))


@dataclass
class Server:
    """Answers as it is told to."""

    bodies: dict[str, bytes] = field(default_factory=lambda: {v: json.dumps(body).encode() for v, body in GOOD.items()})
    status: str = "200 OK"
    is_silent: bool = False
    cuts: bool = False
    age: str = "0"
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = request.split()[1]
        self.asked.append(path)
        if self.is_silent:
            await reader.read()
        elif not self.cuts:
            body = self.bodies[urlsplit(path).path.rsplit("/", 1)[-1]]
            say(writer, body, self.status, Location="/elsewhere", Age=self.age)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    async with a_server(server.answer) as server.url:
        yield server


async def measured(server: Server, limit: timedelta = TIMINGS.answer_within, **values: str) -> Measurement:
    url = server.url + "/{agent}/{version}?since={since}&until={until}&seconds={window}"
    plan = HttpConfig(url, "/counts/0/calls", "/counts/0/failed")
    plan = replace(plan, values=tuple(values.items()))
    clock = Hand(NOON + timedelta(seconds=35))
    fetcher = Fetcher(RateLimiter(clock.now), limit=limit)
    source = PollingSource(HttpCounter(fetcher), clock.now, TIMINGS)
    rollout = a_watched(logs=None, http=plan)
    try:
        (found,) = await source.measure(rollout, Window(NOON, clock.time))
        return found
    finally:
        await source.close()


async def test_counts_of_both_versions_are_read_where_the_pointers_point(server: Server) -> None:
    seen = await measured(server)
    assert (seen.trouble, seen.window) == (None, WINDOW)
    assert seen.stable == Counts(calls=90, failures=1, causes=(("failed by http", 1),))
    assert seen.canary == Counts(calls=10, failures=4, causes=(("failed by http", 4),))


async def test_further_numbers_are_read_too_and_a_lie_among_them_is_told(server: Server) -> None:
    seen = await measured(server, cost="/cost")
    assert (seen.stable.values, seen.canary.values) == ((("cost", 1.5),), (("cost", 2.0),))
    for pointer, because in (("/price", "the answer has nothing at /price"), ("/counts", "tells no number of cost")):
        seen = await measured(server, cost=pointer)
        assert (seen.trouble, seen.canary.failures, seen.canary.unread) == (None, 4, (("cost", because),))


async def test_the_address_names_version_and_window(server: Server) -> None:
    await measured(server)
    paths = sorted(server.asked)
    assert [urlsplit(path).path for path in paths] == ["/support-agent/1", "/support-agent/2"]
    assert parse_qs(urlsplit(paths[0]).query) == {
        "since": ["2026-03-02T12:00:00+00:00"],
        "until": ["2026-03-02T12:00:30+00:00"],
        "seconds": ["30"],
    }


@pytest.mark.parametrize(
    ("body", "trouble"),
    [
        (b'{"counts": [{"calls": NaN, "failed": 0}]}', "tells nan as the number of calls"),
        (b'{"counts": [{"calls": -4, "failed": 0}]}', "tells of -4 calls"),
        (b'{"counts": [{"calls": 20, "failed": 35.5}]}', "tells of 35.5 failures: a count is a whole number"),
        (b'{"counts": [{"calls": 20, "failed": 99}]}', "tells of 99 failures in 20 calls"),
        (b'{"counts": [{"calls": "20", "failed": 0}]}', "tells no number of calls"),
        (b'{"counts": []}', "the answer has nothing at /counts/0/calls"),
        (b"<html>", "the answer is not JSON"),
        (b"", "the answer is not JSON"),
        (b"[" * 100_000, "the answer is not JSON"),
        (b'"' + b"x" * 1_100_000 + b'"', "answers with more than 1000000 bytes"),
    ],
    ids=lambda value: value[:30].decode() if isinstance(value, bytes) else "",
)
async def test_a_lying_server_is_told_and_counts_on_neither_version(server: Server, body: bytes, trouble: str) -> None:
    server.bodies["2"] = body
    seen = await measured(server)
    assert seen.trouble is not None
    assert seen.trouble.startswith(trouble)
    assert seen.canary == seen.stable == Counts()


@pytest.mark.parametrize(
    ("status", "trouble"),
    [("503 Service Unavailable", "HTTP 503"), ("403 Forbidden", "HTTP 403"), ("302 Found", "HTTP 302")],
)
async def test_a_server_that_refuses_is_told_and_nothing_is_followed(server: Server, status: str, trouble: str) -> None:
    server.status = status
    assert (await measured(server)).trouble == trouble
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("member", "trouble"),
    [
        ({"warnings": ["store 2 of 3 is away", "x"]}, "answers in part only: store 2 of 3 is away (and 1 more)"),
        ({"partial": True}, "answers in part only: it says partial"),
        ({"_shards": {"total": 3, "failed": 1}}, "answers in part only: 1 shards failed"),
        ({"error": "timed out \x1b[31m"}, "answers with an error: timed out [31m"),
        ({"data": None, "errors": [{"message": "no backend"}]}, "answers with an error: no backend"),
    ],
)
async def test_an_answer_that_says_that_it_is_not_whole_is_no_evidence(
    server: Server, member: dict[str, Any], trouble: str
) -> None:
    server.bodies["2"] = json.dumps(GOOD["2"] | member).encode()
    seen = await measured(server)
    assert (seen.trouble, seen.canary) == (trouble, Counts())


async def test_members_that_only_look_like_it_count_as_before(server: Server) -> None:
    more = {"warnings": [], "infos": ["metric might not be a counter"], "errors": 3, "error": None, "partial": False}
    server.bodies["2"] = json.dumps(GOOD["2"] | more | {"_shards": {"failed": 0}}).encode()
    assert ((await measured(server)).canary.failures, (await measured(server)).trouble) == (4, None)


async def test_a_part_by_its_status_is_no_evidence(server: Server) -> None:
    server.status = "206 Partial Content"
    assert (await measured(server)).trouble == "answers in part only: HTTP 206"


async def test_an_answer_out_of_a_cache_from_before_the_window_ended_is_no_evidence(server: Server) -> None:
    server.age = "3600"
    assert (await measured(server)).trouble == "comes out of a cache, 3600 s old: the window ended later"
    server.age = "4"  # The window ended five seconds ago.
    assert (await measured(server)).trouble is None


async def test_a_silent_server_is_told_after_a_while(server: Server) -> None:
    server.is_silent = True
    assert (await measured(server, timedelta(seconds=0.5))).trouble == "no answer within 0.5 s"


async def test_a_server_that_hangs_up_is_told(server: Server) -> None:
    server.cuts = True
    assert (await measured(server)).trouble == "cannot be reached (RemoteProtocolError)"


async def test_a_dead_server_is_told() -> None:
    assert (await measured(Server(url="http://127.0.0.1:9"))).trouble == "cannot be reached (ConnectError)"


def test_what_is_filled_in_cannot_change_the_shape_of_the_address() -> None:
    asked = CountQuery("sales/../b?x=1&y", "2#z", WINDOW)  # the agent ../b?x=1&y of the project sales
    assert url_of("http://h/{agent}/{version}", asked) == "http://h/..%2Fb%3Fx%3D1%26y/2%23z"


def test_pointers_follow_their_standard() -> None:
    document = {"a/b": [{"m~n": 4}], "": 7}
    assert found_at("/a~1b/0/m~0n", document) == 4
    assert found_at("/", document) == 7
    for pointer in ("/a~1b/1", "/a~1b/-1", "/c", "/a~1b/0/m~0n/x"):
        with pytest.raises(SourceError, match="nothing at"):
            found_at(pointer, document)
