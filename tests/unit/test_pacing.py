"""Long lists leave room for others: so many items at once, and no more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from foundry_rollouts.pacing import chunks, gently, slowly


async def test_others_have_their_turn_after_so_many_items() -> None:
    done, seen_by_others = 0, []

    async def others() -> None:
        while True:
            seen_by_others.append(done)
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    found = []
    async for item in gently(range(1000), at_once=100):
        found.append(item)
        done += 1
    task.cancel()
    assert found == list(range(1000))
    assert seen_by_others == list(range(100, 1001, 100))


async def test_a_long_list_pauses_between_its_parts_and_not_behind_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def items(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    monkeypatch.setattr(asyncio, "sleep", pause)
    assert [item async for item in slowly(items(300), 100, timedelta(seconds=0.5))] == list(range(300))
    assert pauses == [0.5, 0.5]
    assert [item async for item in slowly(items(100), 100, timedelta(seconds=0.5))] == list(range(100))
    assert pauses == [0.5, 0.5]


def test_a_list_in_parts_is_whole() -> None:
    assert list(chunks(range(5), at_once=2)) == [range(2), range(2, 4), range(4, 5)]
    assert list(chunks([])) == []
