"""Long lists leave room for others: so many items at once, and no more."""

import asyncio

from foundry_rollouts.pacing import chunks, gently


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


def test_a_list_in_parts_is_whole() -> None:
    assert list(chunks(range(5), at_once=2)) == [range(2), range(2, 4), range(4, 5)]
    assert list(chunks([])) == []
