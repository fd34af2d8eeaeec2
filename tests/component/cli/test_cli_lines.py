"""A rollout as plain lines: events, and what it waits for while nothing happens."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from builders import NOON, a_rollout
from component.cli.conftest import Service
from fakes import stand
from foundry_rollouts.cli.api import OpsApi
from foundry_rollouts.cli.follow import Lines
from foundry_rollouts.core.model.rollout import Phase
from patience import PATIENCE

TRIED = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, because="the first step has begun")
NEVER = timedelta(days=1)
AT_ONCE = timedelta(milliseconds=10)


async def lines_of(service: Service, lines: Lines, wanted: int) -> list[str]:
    """Return the first ``wanted`` lines."""
    written: list[str] = []
    enough = asyncio.Event()

    def say(line: str) -> None:
        written.append(line.split("  ", 1)[1])
        if len(written) >= wanted:
            enough.set()

    lines.say = say
    async with OpsApi.at(service.server) as api:
        following = asyncio.create_task(lines.follow(api, "r-1"))
        await asyncio.wait_for(enough.wait(), PATIENCE)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    return written


async def test_what_is_waited_for_is_written_when_it_changes_and_again_after_a_long_silence(service: Service) -> None:
    await stand(service.store, replace(TRIED, waiting_for="40 more calls"))
    event, wait = (
        "rollout.progressing   the first step has begun",
        "(progressing)         step 1 of 3, waiting for 40 more calls",
    )
    assert sorted(await lines_of(service, Lines(print, AT_ONCE, NEVER, AT_ONCE), 2)) == sorted([event, wait])
    assert await lines_of(service, Lines(print, NEVER, AT_ONCE, AT_ONCE), 1) == [event]
    often = await lines_of(service, Lines(print, AT_ONCE, AT_ONCE, AT_ONCE), 4)
    assert sorted(often) == sorted([event, wait, wait, wait])


async def test_without_anything_to_wait_for_the_reason_stands_there(service: Service) -> None:
    await stand(service.store, TRIED)
    written = await lines_of(service, Lines(print, AT_ONCE, NEVER, AT_ONCE), 2)
    assert min(written) == "(progressing)         step 1 of 3, the first step has begun"
