"""Requests: told to whoever counts, tried again by the rules, read whatever comes."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.refusals import LONGEST, refusal_of
from unit.foundry.scripted import AT_ONCE, ENDPOINT, Script, a_version, an_agent, ok, refused

Told = list[tuple[str, int | None]]


def listening(*steps: httpx.Response | Exception) -> tuple[FoundryClient, Script, Told]:
    script, told = Script(steps), Told()
    client = FoundryClient(
        ENDPOINT,
        FixedToken(),
        lambda operation, status, seconds: told.append((operation, status)),
        AT_ONCE,
        httpx.MockTransport(script),
    )
    return client, script, told


async def test_each_attempt_is_told_with_its_operation_and_status() -> None:
    client, _, told = listening(refused(503), httpx.ConnectError("x"), ok(an_agent()))
    await client.agent("a")
    assert told == [("agents.get", 503), ("agents.get", None), ("agents.get", 200)]


async def test_reads_and_changes_of_routing_are_tried_four_times() -> None:
    client, script, told = listening(*[refused(503)] * 8)
    with pytest.raises(CloudError):
        await client.agent("a")
    with pytest.raises(CloudError):
        await client.route("a", Routing.of({"1": 100}))
    assert told == [("agents.get", 503)] * 4 + [("agents.route", 503)] * 4
    assert script.is_over


async def test_what_is_refused_for_good_is_asked_once() -> None:
    client, script, _ = listening(refused(403, "preview_feature_required"))
    with pytest.raises(CloudError):
        await client.agent("a")
    assert script.is_over


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    client, script, _ = listening(httpx.Response(302, headers={"location": "https://elsewhere.example/"}))
    with pytest.raises(CloudError) as told:
        await client.agent("a")
    assert told.value.refusal.status == 302
    assert script.is_over


async def test_the_interface_version_goes_with_every_request_and_the_token_too() -> None:
    client, script, _ = listening(ok(a_version()))
    await client.version("a", "1")
    assert script.asked[0].url.params["api-version"] == "v1"
    assert script.asked[0].headers["authorization"] == "Bearer emulator"


ENVELOPE = b'{"error":{"code":"c","message":"m\\n  n","additionalInfo":{"request_id":"r"}}}'


@pytest.mark.parametrize(
    ("content", "code", "message", "request_id"),
    [
        (ENVELOPE, "c", "m n", "r"),
        (b'{"error":"plain"}', None, "plain", None),
        (b'{"type":"about:blank","title":"t","status":400,"detail":"d"}', None, "d", None),
        (b'{"title":"t"}', None, "t", None),
        (b"<html><body>Bad\n<b>Gateway</b></body></html>", None, "Bad Gateway", None),
        (b"", None, "no text", None),
        (b'{"error":{"code":null,"message":"m"}}', None, "m", None),
        (b'{"error":null}', None, '{"error":null}', None),
    ],
)
def test_every_shape_of_refusal_is_read(content: bytes, code: str | None, message: str, request_id: str | None) -> None:
    refusal = refusal_of(500, {}, content)
    assert (refusal.code, refusal.message, refusal.request_id) == (code, message, request_id)


def test_the_request_to_name_in_a_ticket_is_one_id() -> None:
    assert refusal_of(500, {"apim-request-id": "one, two"}, b"").request_id == "one"
    assert refusal_of(500, {"x-request-id": "x", "apim-request-id": "y"}, ENVELOPE).request_id == "x"


def test_a_long_text_is_cut() -> None:
    assert len(refusal_of(500, {}, b"x" * 100_000).message) == LONGEST


async def test_an_answer_that_does_not_come_in_time_is_a_timeout() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    client = FoundryClient(ENDPOINT, FixedToken(), wire=httpx.MockTransport(never))
    with pytest.raises(CloudError) as told:
        await client.ask("a", "session-1", "hi", timedelta(milliseconds=20))
    assert told.value.refusal.code == "timeout"


@pytest.mark.parametrize(
    ("first", "is_certain"),
    [
        (refused(429), True),
        (httpx.ConnectError("x"), True),
        (refused(504), False),
        (refused(503), False),
        (httpx.ReadTimeout("x"), False),
        (httpx.RemoteProtocolError("x"), False),
    ],
)
async def test_a_change_tells_whether_an_earlier_try_may_still_be_applied(
    first: httpx.Response | Exception, is_certain: bool
) -> None:
    client, _, _ = listening(first, ok(an_agent()), ok(an_agent()))
    assert await client.route("a", Routing.of({"1": 100})) is is_certain
    assert await client.route("a", Routing.of({"1": 100})) is True
