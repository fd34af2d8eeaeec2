"""An upgrade of a database that is in use: nobody waits behind it, and it does not wait for ever."""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from command_line import Outcome, outcome_of
from databases import writing
from foundry_rollouts.errors import StoreError
from foundry_rollouts.store import schema
from patience import PATIENCE
from releases import NEXT, following, present
from schemas import bring_to, revisions

#: Seconds: who waited for so long came behind the upgrade, which lets others pass after half a second.
BEHIND = 0.1


@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
async def test_writers_pass_by_an_upgrade_that_waits_for_a_table(empty_url: str, tmp_path: Path) -> None:
    await schema.upgrade(empty_url)
    waits: list[float] = []
    async with writing(empty_url) as somebody:
        await somebody.execute(text("UPDATE rollouts SET step = step"))
        upgrading = await following(tmp_path).upgrade(empty_url, tmp_path)
        assert upgrading.stderr is not None
        assert await upgrading.stderr.readline() == (b"the tables are in use: waiting until they are free\n")
        # Whoever came behind an upgrade that waits in one go would wait for as long as somebody is at work.
        async with asyncio.timeout(PATIENCE):
            while sum(waited > BEHIND for waited in waits) < 3:
                began = time.monotonic()
                async with writing(empty_url) as other:
                    await other.execute(text("UPDATE rollouts SET step = step"))
                waits.append(time.monotonic() - began)
        assert upgrading.returncode is None
    ended = await outcome_of(upgrading)
    assert ended == Outcome(0, f"the database is at schema {NEXT}, upgraded from {schema.newest()}\n", "")


async def test_an_upgrade_that_finds_no_moment_says_so_and_leaves_everything_as_it_was(empty_url: str) -> None:
    await bring_to(empty_url, revisions()[0])
    async with writing(empty_url) as somebody:
        await somebody.execute(text("UPDATE alembic_version SET version_num = version_num"))
        with pytest.raises(StoreError, match=r"^the upgrade found its tables in use at each of 1 tries: end what .*$"):
            await schema.upgrade(empty_url, most_tries=1)
    assert await schema.current(empty_url) == revisions()[0]
    assert await schema.upgrade(empty_url) == schema.newest()


async def test_an_upgrade_that_is_stopped_half_way_is_finished_by_the_next(empty_url: str) -> None:
    """Each migration is a transaction of its own, so that what one has locked is free before the next begins."""
    for revision in revisions():
        await bring_to(empty_url, revision)
        assert await schema.current(empty_url) == revision
    assert await schema.upgrade(empty_url) == schema.newest()
    await schema.check(empty_url)


async def test_upgrades_that_are_started_at_once_all_end_well_and_say_from_where_to_where(
    empty_url: str, tmp_path: Path
) -> None:
    await bring_to(empty_url, revisions()[0])
    running = [await present().upgrade(empty_url, tmp_path) for _ in range(3)]
    ended = [await outcome_of(each) for each in running]
    assert {each.code for each in ended} == {0}, ended
    arrived = f"the database is at schema {schema.newest()}"
    assert {each.out.partition(",")[0].strip() for each in ended} == {arrived}
    assert f"{arrived}, upgraded from {revisions()[0]}\n" in [each.out for each in ended]
    await schema.check(empty_url)
    again = await outcome_of(await present().upgrade(empty_url, tmp_path))
    assert again == Outcome(0, f"{arrived}\n", "")
