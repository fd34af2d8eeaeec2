"""A service that does not know who asks, or does not let them: one line that says what to set, and no second try."""

import asyncio
import json
from pathlib import Path

import pytest

from answering import a_server, say
from command_line import begin, outcome_of
from patience import PATIENCE

TOKEN = "frt_of-nobody"
UNKNOWN = {"type": "/problems/unauthorized", "status": 401, "detail": "this token has expired"}
VIEWER = {
    "type": "/problems/forbidden",
    "status": 403,
    "detail": "this needs the role operator, and kim is a viewer.",
}


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        ("401 Unauthorized", UNKNOWN,
         "error: the service does not know who asks (this token has expired): set FOUNDRY_ROLLOUTS_TOKEN to a token of "
         "that service, 'foundry-rollouts token create' makes one"),
        ("403 Forbidden", VIEWER,
         "error: this needs the role operator, and kim is a viewer: ask for a token with the role it needs, or have "
         "somebody with that role do it"),
        ("401 Unauthorized", None,
         "error: the service does not know who asks (127.0.0.1 answered HTTP 401): set FOUNDRY_ROLLOUTS_TOKEN to a "
         "token of that service, 'foundry-rollouts token create' makes one"),
    ],
)  # fmt: skip
async def test_who_is_denied_reads_why_and_what_to_do(
    tmp_path: Path, status: str, body: dict[str, object] | None, line: str
) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE))
        say(writer, json.dumps(body).encode() if body else b"<html>log in</html>", status)

    async with a_server(answer) as server:
        done = await outcome_of(
            await begin("rollout", "watch", "r-1", "--server", server, folder=tmp_path, FOUNDRY_ROLLOUTS_TOKEN=TOKEN)
        )
    assert (done.code, done.out, done.errors) == (1, "", [line])
    assert len(asked) == 1


async def test_who_shows_no_token_reads_which_variable_holds_it(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        say(writer, json.dumps({"detail": "send Authorization: Bearer TOKEN"}).encode(), "401 Unauthorized")

    async with a_server(answer) as server:
        done = await outcome_of(await begin("rollout", "list", "--server", server, folder=tmp_path))
    assert (done.code, done.errors) == (
        1,
        [
            "error: the service wants a token: set FOUNDRY_ROLLOUTS_TOKEN to a token of that service, "
            "'foundry-rollouts token create' makes one"
        ],
    )


async def test_a_right_that_is_lost_during_a_wait_ends_the_wait_and_says_that_the_rollout_goes_on(
    tmp_path: Path,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        if b"/events" in head:
            say(writer, json.dumps(UNKNOWN).encode(), "401 Unauthorized")
        else:
            say(writer, json.dumps({"id": "r-1", "phase": "progressing"}).encode())

    async with a_server(answer) as server:
        done = await outcome_of(
            await begin("rollout", "watch", "r-1", "--server", server, folder=tmp_path, FOUNDRY_ROLLOUTS_TOKEN=TOKEN)
        )
    assert (done.code, done.out, len(done.errors)) == (1, "", 1)
    assert done.err.startswith("error: the service does not know who asks (this token has expired): set")
    assert "how rollout r-1 ends is unknown: it continues, follow it with" in done.err
