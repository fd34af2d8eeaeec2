"""What a tick's calls and statements cost without a service around them: plain clients in a loop, processor time."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import LiteralString

import httpx

from foundry_rollouts.cli.scale.cloud import name_of
from foundry_rollouts.cli.scale.database import Measured
from foundry_rollouts.cli.scale.figures import Floor
from foundry_rollouts.cli.scale.stage import Stage
from foundry_rollouts.cli.scale.wire import PROJECT
from foundry_rollouts.network import carrier

_READ: LiteralString = "SELECT document FROM rollouts WHERE agent = "
_WRITE: LiteralString = "UPDATE leases SET fence = fence WHERE agent = "


async def floor(stage: Stage, database: Measured, agents: int, times: int) -> Floor:
    """Return the processor time of one call, one statement and one commit, each done so often."""
    call = await _calls(stage, agents, times)
    statement, commit = await (_server if database.is_server else _file)(database, agents, times)
    return Floor(call, statement, commit)


async def _calls(stage: Stage, agents: int, times: int) -> float:
    wire = carrier(httpx.create_ssl_context(), heeds_proxies=False)
    async with httpx.AsyncClient(transport=wire, trust_env=False, headers={"Authorization": "Bearer -"}) as client:

        async def call(number: int) -> None:
            url = f"{stage.cloud}{PROJECT}/agents/{name_of(number % agents)}"
            json.loads((await client.get(url, params={"api-version": "v1"})).content)

        return await _timed(call, times)


async def _server(database: Measured, agents: int, times: int) -> tuple[float, float]:
    import psycopg

    async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as connection:

        async def read(number: int) -> None:
            cursor = await connection.execute(_READ + "%s", (name_of(number % agents),), prepare=True)
            await cursor.fetchall()

        async def write(number: int) -> None:
            async with connection.transaction():
                await connection.execute(_WRITE + "%s", (name_of(number % agents),), prepare=True)

        statement = await _timed(read, times)
        return statement, max(0.0, await _timed(write, times) - statement)


async def _file(database: Measured, agents: int, times: int) -> tuple[float, float]:
    with closing(sqlite3.connect(database.url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)) as file:

        async def read(number: int) -> None:
            for (document,) in file.execute(_READ + "?", (name_of(number % agents),)).fetchall():
                json.loads(document)

        async def write(number: int) -> None:
            file.execute("BEGIN IMMEDIATE")
            file.execute(_WRITE + "?", (name_of(number % agents),))
            file.execute("COMMIT")

        statement = await _timed(read, times)
        return statement, max(0.0, await _timed(write, times) - statement)


async def _timed(work: Callable[[int], Awaitable[None]], times: int) -> float:
    """Return the milliseconds of the processor that one piece of ``work`` takes."""
    await work(0)
    began = time.process_time()
    for number in range(times):
        await work(number)
        if not number % 100:
            await asyncio.sleep(0)
    return 1000 * (time.process_time() - began) / times
