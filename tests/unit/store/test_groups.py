"""Groups: who asks at the same time is answered together, and each gets what is meant for it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest

from foundry_rollouts.store.groups import Groups


@dataclass
class Desk:
    """Answers with ten times the number, once it may, and remembers who came together."""

    groups: list[list[int]] = field(default_factory=list)
    may: asyncio.Event = field(default_factory=asyncio.Event)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    async def serve(self, numbers: Sequence[int]) -> Sequence[int]:
        self.groups.append(list(numbers))
        self.came.set()
        await self.may.wait()
        if self.error:
            raise self.error
        return [10 * number for number in numbers]

    async def begun(self) -> None:
        """Wait until somebody is served."""
        await self.came.wait()


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_those_who_ask_in_one_turn_of_the_loop_are_answered_together(desk: Desk) -> None:
    groups = Groups(desk.serve, most=100)
    desk.may.set()
    assert await asyncio.gather(*(groups.ask(number) for number in range(20))) == [10 * n for n in range(20)]
    assert desk.groups == [list(range(20))]


async def test_what_comes_while_a_group_is_served_is_the_next_group(desk: Desk) -> None:
    groups = Groups(desk.serve, most=100)
    first = asyncio.create_task(groups.ask(0))
    await desk.begun()
    others = [asyncio.create_task(groups.ask(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    desk.may.set()
    assert await asyncio.gather(first, *others) == [0, 10, 20, 30]
    assert desk.groups == [[0], [1, 2, 3]]


async def test_a_group_has_its_limit(desk: Desk) -> None:
    groups = Groups(desk.serve, most=2)
    desk.may.set()
    assert await asyncio.gather(*(groups.ask(number) for number in range(5))) == [0, 10, 20, 30, 40]
    assert desk.groups == [[0, 1], [2, 3], [4]]


async def test_after_company_the_next_group_gathers_for_a_moment_and_who_is_alone_waits_for_nobody() -> None:
    desk = Desk()
    groups = Groups(desk.serve, most=100, pause=timedelta(hours=1))
    desk.may.set()
    for number in range(3):
        assert await groups.ask(number) == 10 * number  # An hour's pause would be noticed.
    assert list(await asyncio.gather(groups.ask(3), groups.ask(4))) == [30, 40]
    late = asyncio.create_task(groups.ask(5))
    for _ in range(20):
        await asyncio.sleep(0)
    assert desk.groups == [[0], [1], [2], [3, 4]]
    late.cancel()


async def test_what_goes_wrong_reaches_everyone_of_the_group_and_the_next_one_is_served(desk: Desk) -> None:
    groups = Groups(desk.serve, most=100)
    desk.error = ValueError("no")
    desk.may.set()
    answers = await asyncio.gather(groups.ask(1), groups.ask(2), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["no", "no"]
    desk.error = None
    assert await groups.ask(3) == 30


async def test_who_is_cancelled_before_the_group_begins_is_left_out(desk: Desk) -> None:
    groups = Groups(desk.serve, most=100)
    first = asyncio.create_task(groups.ask(0))
    await desk.begun()
    gone, stays = asyncio.create_task(groups.ask(1)), asyncio.create_task(groups.ask(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    assert gone.cancelled()
    desk.may.set()
    assert list(await asyncio.gather(first, stays)) == [0, 20]
    assert desk.groups == [[0], [2]]


async def test_who_is_cancelled_while_the_group_is_served_waits_for_its_end(desk: Desk) -> None:
    groups = Groups(desk.serve, most=100)
    gone, stays = asyncio.create_task(groups.ask(1)), asyncio.create_task(groups.ask(2))
    await desk.begun()
    gone.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not gone.done()
    desk.may.set()
    assert await stays == 20
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_others_have_their_turn_while_answers_are_given() -> None:
    desk, seen = Desk(), list[int]()
    groups = Groups(desk.serve, most=100)
    desk.may.set()

    async def ask(number: int) -> None:
        await groups.ask(number)
        seen.append(number)

    others = [asyncio.create_task(ask(number)) for number in range(50)]
    counts = [0]
    while len(seen) < 50:
        counts.append(len(seen))
        await asyncio.sleep(0)
    await asyncio.gather(*others)
    assert max(after - before for before, after in pairwise(counts)) < 50


async def test_close_waits_for_those_who_asked(desk: Desk) -> None:
    groups = Groups(desk.serve, most=100)
    asked = asyncio.create_task(groups.ask(1))
    await desk.begun()
    closed = asyncio.create_task(groups.close())
    await asyncio.sleep(0)
    assert not closed.done()
    desk.may.set()
    await closed
    assert await asked == 10
    await groups.close()


def test_a_loop_that_ends_leaves_nobody_waiting() -> None:
    asked: list[asyncio.Task[int]] = []

    async def leave() -> None:
        desk = Desk()
        groups = Groups(desk.serve, most=1)
        asked.extend(asyncio.create_task(groups.ask(number)) for number in (1, 2))
        await desk.begun()

    asyncio.run(leave())
    assert [task.cancelled() for task in asked] == [True, True]
