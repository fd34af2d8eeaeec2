"""The client about the log of a session, over streams that end."""

import asyncio
import itertools
from contextlib import aclosing
from datetime import timedelta

import httpx
import pytest

from contract.client.local import BRISK, LATE, MAIN, PROTOCOLS, image, two_versions
from foundry_rollouts.core.model.backoff import Backoff
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Code, Definition
from foundry_rollouts.foundry.packaging import zipped
from foundry_rollouts.foundry.reconnect import Reconnecting
from patience import PATIENCE


async def test_a_log_tells_what_the_session_writes(cloud: FoundryClient) -> None:
    await cloud.api.versions.create("a", image(log_error_rate=1))
    await cloud.open_session("a", "1", "session-00000001")
    async with asyncio.timeout(PATIENCE), aclosing(cloud.api.logs.follow("a", "1", "session-00000001")) as lines:
        await cloud.ask("a", "session-00000001", "hi", LATE)
        asker = asyncio.create_task(cloud.ask("a", "session-00000001", "hi", LATE))
        async for line in lines:
            if "ERROR" in line.text:
                break
        await asker
    assert line.stream == "stderr"
    assert line.at is not None


async def test_a_log_is_followed_over_streams_that_end_and_no_line_is_doubled(
    cloud: FoundryClient, control: httpx.AsyncClient
) -> None:
    definition = Definition(code=Code(), protocols=PROTOCOLS, idle_timeout=timedelta(hours=4))
    await cloud.api.deploy.upload("a", zipped({"main.py": MAIN, "requirements.txt": b""}), definition)
    await cloud.api.versions.wait_until_active("a", "1", BRISK)
    await cloud.open_session("a", "1", "session-00000001")
    (await control.put("/clock", json={"speed": 600})).raise_for_status()  # a stream lives for three seconds

    async def keep_asking() -> None:
        for n in itertools.count():
            await cloud.ask("a", "session-00000001", {"n": n}, LATE)
            await asyncio.sleep(0.05)

    asker = asyncio.create_task(keep_asking())
    at_once = Reconnecting(Backoff(timedelta(milliseconds=10), timedelta(seconds=1)))
    streams, asked = 0, []
    try:
        async with (
            asyncio.timeout(PATIENCE),
            aclosing(cloud.api.logs.follow("a", "1", "session-00000001", at_once)) as log,
        ):
            async for line in log:
                streams += line.text == "session Running"
                asked += [line.text] if "asked" in line.text else []
                if streams >= 3 and "asked" in line.text:
                    break
    finally:
        asker.cancel()
    assert len(asked) == len(set(asked)) >= 10


async def test_a_log_of_a_session_that_is_not_there_is_missing(cloud: FoundryClient) -> None:
    await two_versions(cloud)
    with pytest.raises(CloudError) as told:
        [line async for line in cloud.log_lines("a", "1", "session-99999999")]
    assert told.value.is_missing
