"""The live history: every event once, in order, until the rollout or the daemon ends."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from httpx_sse import ServerSentEvent, aconnect_sse

from builders import NOON, a_rollout
from fakes import record, stand
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.services import Services
from patience import PATIENCE
from unit.web.served import Web, served

EVENTS = "/api/v1/rollouts/r-1/events"
LIVE = {"Accept": "text/event-stream"}
PROGRESSING = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON)


async def end(store: SqlStore, rollout: Rollout) -> None:
    await stand(store, replace(rollout, phase=Phase.ROLLED_BACK, ended_at=NOON, because="it failed"))


async def test_a_finished_history_is_streamed_whole_and_ends(web: Web) -> None:
    await end(web.store, await stand(web.store, PROGRESSING))

    async with aconnect_sse(web.client, "GET", EVENTS) as stream:
        told = [event async for event in stream.aiter_sse()]

    assert [(event.id, event.event) for event in told] == [
        ("r-1:1", "rollout.progressing"),
        ("r-1:2", "rollout.rolled_back"),
    ]
    assert told[1].json()["because"] == "it failed"


async def test_a_client_that_comes_back_goes_on_where_it_was(web: Web) -> None:
    await end(web.store, await stand(web.store, PROGRESSING))

    async with aconnect_sse(web.client, "GET", EVENTS, headers={"Last-Event-ID": "r-1:1"}) as stream:
        told = [event.id async for event in stream.aiter_sse()]

    assert told == ["r-1:2"]


async def test_a_client_that_has_seen_the_end_is_told_not_to_come_back(web: Web) -> None:
    await end(web.store, await stand(web.store, PROGRESSING))

    answer = await web.client.get(EVENTS, headers={**LIVE, "Last-Event-ID": "r-1:2"})

    assert answer.status_code == 204


async def test_a_client_that_names_a_strange_event_begins_at_the_beginning(web: Web) -> None:
    await end(web.store, await stand(web.store, PROGRESSING))

    async with aconnect_sse(web.client, "GET", EVENTS, headers={"Last-Event-ID": "elsewhere:7"}) as stream:
        told = [event.id async for event in stream.aiter_sse()]

    assert told == ["r-1:1", "r-1:2"]


async def test_the_stream_of_an_unknown_rollout_is_not_found(web: Web) -> None:
    assert (await web.client.get(EVENTS, headers=LIVE)).status_code == 404


async def test_a_sentence_of_several_lines_arrives_as_it_was(web: Web) -> None:
    because = "one\nid: r-1:99\n\ndata: two"
    await stand(web.store, replace(PROGRESSING, phase=Phase.ROLLED_BACK, because=because))

    async with aconnect_sse(web.client, "GET", EVENTS) as stream:
        [told] = [event async for event in stream.aiter_sse()]

    assert (told.id, told.json()["because"]) == ("r-1:1", because)


async def test_an_event_arrives_while_the_stream_is_open(services: Services) -> None:
    assert isinstance(services.store, SqlStore)
    rollout = await stand(services.store, PROGRESSING)
    async with (
        served(services) as (client, _),
        aconnect_sse(client, "GET", EVENTS) as stream,
        asyncio.timeout(PATIENCE),
    ):
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        events = stream.aiter_sse()
        assert (await anext(events)).id == "r-1:1"

        advanced = Event("r-1:2", NOON, "rollout.advanced", rollout.agent, "proved", rollout.id)
        await record(services.store, rollout.agent, Record(event=advanced))
        told: ServerSentEvent = await anext(events)

        assert (told.id, told.event, told.json()["because"]) == ("r-1:2", "rollout.advanced", "proved")
        await end(services.store, replace(rollout, event_count=2))
        assert [event.id async for event in events] == ["r-1:3"]


async def test_the_daemon_ends_at_once_in_spite_of_open_streams(services: Services) -> None:
    assert isinstance(services.store, SqlStore)
    await stand(services.store, PROGRESSING)
    async with served(services) as (client, server), aconnect_sse(client, "GET", EVENTS) as stream:
        events = stream.aiter_sse()
        await anext(events)

        server.config.timeout_graceful_shutdown = None  # Who does not end by itself would be waited for without end.
        services.stop.set()
        server.should_exit = True
        async with asyncio.timeout(PATIENCE):
            rest = [event async for event in events]

    assert rest == []


async def test_a_store_that_goes_away_ends_the_stream_and_not_the_service(services: Services, tmp_path: Path) -> None:
    assert isinstance(services.store, SqlStore)
    await stand(services.store, PROGRESSING)
    async with served(services) as (client, _), aconnect_sse(client, "GET", EVENTS) as stream:
        events = stream.aiter_sse()
        await anext(events)

        with sqlite3.connect(tmp_path / "history.db") as database:
            database.execute("ALTER TABLE events RENAME TO gone")
        database.close()

        async with asyncio.timeout(PATIENCE):
            assert [event async for event in events] == []
        assert (await client.get("/healthz")).status_code == 200


async def test_a_quiet_stream_says_that_it_is_alive(services: Services) -> None:
    services = replace(services, keepalive_after=timedelta(0))
    assert isinstance(services.store, SqlStore)
    await stand(services.store, PROGRESSING)
    async with (
        served(services) as (client, _),
        client.stream("GET", EVENTS, headers=LIVE) as answer,
        asyncio.timeout(PATIENCE),
    ):
        beats = [line async for line in until_a_comment(answer.aiter_lines())]

    assert beats[-1] == ": ping"


async def until_a_comment(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith(":"):
            return
