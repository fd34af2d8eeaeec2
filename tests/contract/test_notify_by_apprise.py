"""A target over loopback HTTP, by the library with the services: what arrives, and what is said when it fails."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from answering import a_server, say
from foundry_rollouts.cli.demo.stage import free_port
from foundry_rollouts.core.model.notice import Severity
from foundry_rollouts.notify.chat import MISSING, Chat
from foundry_rollouts.notify.dispatcher import UndeliveredError
from foundry_rollouts.notify.wording import Words

WORDS = Words(
    "[critical] support-agent version 2: rolled back", "it failed & was <b>worse</b>\nrollout r-1", Severity.CRITICAL
)
LIMIT = timedelta(seconds=20)


@dataclass
class Hall:
    """A server that keeps what is posted to it."""

    status: str = "200 OK"
    hangs: bool = False
    posts: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}
        self.posts.append(json.loads(await reader.readexactly(int(fields["content-length"]))))
        if self.hangs:
            await reader.read()
        say(writer, b"", self.status)

    def serving(self) -> AbstractAsyncContextManager[str]:
        return a_server(self.answer)


def chat(address: str, limit: timedelta = LIMIT, more: str = "") -> Chat:
    return Chat(f"json://{address.removeprefix('http://')}/s3cret{more}", limit)


async def refused(saying: Callable[[], Awaitable[None]]) -> str:
    with pytest.raises(UndeliveredError) as error:
        await saying()
    assert "s3cret" not in str(error.value)
    return str(error.value)


async def test_a_message_arrives_as_it_was_written() -> None:
    hall = Hall()
    async with hall.serving() as address:
        target = chat(address)
        await target.say(WORDS, "key")
        await target.say(WORDS, "key")
        await target.aclose()
    assert [post["message"] for post in hall.posts] == [WORDS.text] * 2
    assert (hall.posts[0]["title"], hall.posts[0]["type"]) == (WORDS.title, "failure")


async def test_what_is_refused_hangs_or_is_gone_is_said_without_the_address(caplog: pytest.LogCaptureFixture) -> None:
    hall = Hall(status="500 Internal Server Error")
    async with hall.serving() as address:
        assert await refused(lambda: chat(address).say(WORDS, "key")) == "it did not take the message"
        hall.hangs = True
        slow = chat(address, timedelta(seconds=0.5), "?rto=1&cto=1")
        assert await refused(lambda: slow.say(WORDS, "key")) == "it gave no answer within 0.5 s"
    gone = chat(f"http://127.0.0.1:{free_port()}")
    assert await refused(lambda: gone.say(WORDS, "key")) == "it did not take the message"
    strange = Chat("s3cret://s3cret", LIMIT)
    assert "knows no such address" in await refused(lambda: strange.say(WORDS, "key"))
    assert "s3cret" not in caplog.text


async def test_where_the_library_is_missing_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert await refused(lambda: chat("http://127.0.0.1:9").say(WORDS, "key")) == MISSING
    assert "pip install 'foundry-rollouts[notify]'" in MISSING
