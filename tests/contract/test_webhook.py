"""The receiver over loopback HTTP: what it is sent, and how it may confirm, refuse, fall silent or be gone."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import standardwebhooks
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from dirty_equals import IsStr
from pydantic import TypeAdapter

from answering import a_server
from builders import NOON, an_event
from foundry_rollouts import clock
from foundry_rollouts.cli.demo.stage import free_port
from foundry_rollouts.notify.dispatcher import UndeliveredError
from foundry_rollouts.notify.webhook import Webhook
from foundry_rollouts.operations.lists import EventPage
from foundry_rollouts.ports import Message
from patience import PATIENCE

SOURCE = "https://acme.services.ai.azure.com/api/projects/prod"
KEY = b"0123456789abcdef01234567"
EVENT = an_event(
    id="support:agent.pinned:the endpoint followed @latest \N{EN DASH} pinned",
    kind="rollout.advanced",
    because="canary 0 of 22 failed against 0 of 22 on stable: better than 3x stable, evidence 99 : 1",
    step=2,
    weights={"1": 50, "2": 50},
    author="ann",
)
MESSAGE = Message(7, EVENT, attempts=1)


@dataclass
class Post:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers as it is told to, and keeps what was posted."""

    answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    then: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
    posts: list[Post] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
        self.posts.append(Post(line, headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(self.answer)
        await writer.drain()
        if self.then is not None:
            await self.then(reader, writer)


@pytest.fixture
async def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def webhook(receiver: Receiver) -> AsyncIterator[Webhook]:
    async with a_server(receiver.serve) as address:
        webhook = a_webhook(f"{address}/hook?code=s3cret")
        yield webhook
        await webhook.aclose()


def a_webhook(url: str, key: bytes | None = KEY) -> Webhook:
    return Webhook(url, SOURCE, key, timedelta(seconds=PATIENCE), lambda: NOON)


async def refusal(webhook: Webhook) -> UndeliveredError:
    with pytest.raises(UndeliveredError) as refused:
        await webhook.tell(MESSAGE)
    assert "s3cret" not in f"{refused.value} {webhook!r}"
    assert KEY.decode() not in f"{refused.value} {webhook!r}"
    return refused.value


async def test_a_message_is_a_cloud_event_that_holds_the_event_as_the_ops_api_shows_it(
    webhook: Webhook, receiver: Receiver
) -> None:
    await webhook.tell(MESSAGE)
    (post,) = receiver.posts
    assert post.line == "POST /hook?code=s3cret HTTP/1.1"
    assert post.headers["content-type"] == "application/cloudevents+json"
    assert json.loads(post.body) == {
        "specversion": "1.0",
        "id": IsStr(regex=r"msg_[0-9a-f]{32}"),
        "source": SOURCE,
        "type": "foundry-rollouts.rollout.advanced",
        "subject": "support-agent",
        "time": "2026-03-02T12:00:00Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000007",
        "data": shown_by_the_api(),
    }


def shown_by_the_api() -> dict[str, Any]:
    (shown,) = json.loads(TypeAdapter(EventPage).dump_json(EventPage((EVENT,), None)))["items"]
    assert shown["because"] == EVENT.because
    shown["for"] = shown.pop("waits_for")  # as web/schemas.py has it
    return dict(shown)


async def test_a_repeat_is_the_same_bytes_under_the_same_id_and_another_event_has_another(
    webhook: Webhook, receiver: Receiver
) -> None:
    await webhook.tell(MESSAGE)
    await webhook.tell(Message(7, EVENT, attempts=5))
    await webhook.tell(Message(8, an_event(id="r-1:2"), attempts=1))
    first, again, other = receiver.posts
    assert (first.body, first.headers["webhook-id"]) == (again.body, again.headers["webhook-id"])
    assert json.loads(first.body)["id"] == first.headers["webhook-id"] != other.headers["webhook-id"]


async def test_the_signature_covers_id_time_and_body(webhook: Webhook, receiver: Receiver) -> None:
    await webhook.tell(MESSAGE)
    (post,) = receiver.posts
    assert post.headers["webhook-timestamp"] == str(int(NOON.timestamp()))
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    version, _, signature = post.headers["webhook-signature"].partition(",")
    assert version == "v1"
    assert base64.b64decode(signature) == hmac.new(KEY, signed, "sha256").digest()


async def test_the_libraries_of_both_standards_take_what_is_sent(receiver: Receiver) -> None:
    async with a_server(receiver.serve) as address:
        webhook = Webhook(address, SOURCE, KEY, timedelta(seconds=PATIENCE), clock.now)
        await webhook.tell(MESSAGE)
        await webhook.aclose()
    (post,) = receiver.posts
    secret = f"whsec_{base64.b64encode(KEY).decode()}"
    assert standardwebhooks.Webhook(secret).verify(post.body, post.headers) == json.loads(post.body)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(post.body + b" ", post.headers)
    event = from_structured_event(HTTPMessage(post.headers, post.body), JSONFormat())
    assert (event.get_type(), event.get_source()) == ("foundry-rollouts.rollout.advanced", SOURCE)
    assert (event.get_id(), event.get_subject()) == (post.headers["webhook-id"], "support-agent")
    assert event.get_data() == shown_by_the_api()


async def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    async with a_server(receiver.serve) as address:
        webhook = a_webhook(address, key=None)
        await webhook.tell(MESSAGE)
        await webhook.aclose()
    assert "webhook-signature" not in receiver.posts[0].headers
    assert "webhook-id" in receiver.posts[0].headers


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "299 Odd"])
async def test_any_2xx_confirms(webhook: Webhook, receiver: Receiver, status: str) -> None:
    receiver.answer = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok".encode()
    await webhook.tell(MESSAGE)


@pytest.mark.parametrize("status", ["301 Moved", "400 Bad", "404 Gone Fishing", "410 Gone", "500 Oh", "503 Busy"])
async def test_any_other_status_does_not_and_nothing_is_followed(
    webhook: Webhook, receiver: Receiver, status: str
) -> None:
    body = "s3cret and private"
    receiver.answer = f"HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    assert str(await refusal(webhook)) == f"the receiver answers HTTP {status[:3]}"
    assert len(receiver.posts) == 1


@pytest.mark.parametrize(
    ("asked_for", "pause"),
    [("120", timedelta(seconds=120)), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("9" * 30, None)],
)
async def test_the_pause_that_a_receiver_asks_for_is_read_in_seconds(
    webhook: Webhook, receiver: Receiver, asked_for: str, pause: timedelta | None
) -> None:
    receiver.answer = f"HTTP/1.1 429 Slow\r\nRetry-After: {asked_for}\r\nContent-Length: 0\r\n\r\n".encode()
    assert (await refusal(webhook)).retry_after == pause


async def test_a_receiver_that_says_nothing_is_left_in_time(webhook: Webhook, receiver: Receiver) -> None:
    webhook.limit = timedelta(seconds=0.5)
    receiver.answer, receiver.then = b"", wait_for_ever
    assert str(await refusal(webhook)) == "the receiver gave no answer within 0.5 s"


async def test_one_that_answers_drop_by_drop_is_left_in_time_too(webhook: Webhook, receiver: Receiver) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"X-Drop: 1\r\n")
            await asyncio.sleep(0.05)

    webhook.limit = timedelta(seconds=0.5)
    receiver.answer, receiver.then = b"HTTP/1.1 200 OK\r\n", drip
    assert str(await refusal(webhook)) == "the receiver gave no answer within 0.5 s"


async def test_one_that_confirms_at_endless_length_has_confirmed(webhook: Webhook, receiver: Receiver) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await asyncio.sleep(0)

    receiver.answer, receiver.then = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", talk
    await webhook.tell(MESSAGE)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nConte", b"220 smtp.example.com\r\n"])
async def test_one_that_hangs_up_or_speaks_something_else_has_not(
    webhook: Webhook, receiver: Receiver, answer: bytes
) -> None:
    receiver.answer = answer
    assert str(await refusal(webhook)) == "the receiver cannot be reached (RemoteProtocolError)"


async def test_one_that_is_not_there_is_told_as_such() -> None:
    webhook = a_webhook(f"http://127.0.0.1:{free_port()}/s3cret")
    assert str(await refusal(webhook)) == "the receiver cannot be reached (ConnectError)"
    await webhook.aclose()


async def test_one_that_comes_back_is_reached_again(webhook: Webhook, receiver: Receiver) -> None:
    good, receiver.answer = receiver.answer, b""
    await refusal(webhook)
    receiver.answer = good
    await webhook.tell(MESSAGE)


async def wait_for_ever(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()
