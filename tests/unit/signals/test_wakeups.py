"""Many failures at once wake a rollout once or twice, and none is overheard."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from builders import NOON
from foundry_rollouts.errors import StoreError
from foundry_rollouts.signals.wakeups import WakeCoalescer, no_wake


@dataclass
class Bed:
    """Wakes slowly, and says what happened in which order."""

    told: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    is_away: bool = False

    async def wake(self, rollout: str, now: datetime) -> None:
        await self.gate.wait()
        if self.is_away:
            raise StoreError("the database is away")
        self.told.append(f"wake {rollout}")


async def test_a_failure_makes_a_rollout_due() -> None:
    bed = Bed()
    bed.gate.set()
    alarm = WakeCoalescer(bed, lambda: NOON)
    alarm("r-1")
    await alarm.close()
    assert bed.told == ["wake r-1"]


async def test_a_hundred_failures_at_once_are_two_calls_for_the_last_of_them_may_be_news() -> None:
    bed = Bed()
    alarm = WakeCoalescer(bed, lambda: NOON)
    alarm("r-1")
    await asyncio.sleep(0)
    for _ in range(100):
        alarm("r-1")
    bed.gate.set()
    await alarm.close()
    assert bed.told == ["wake r-1"] * 2


async def test_rollouts_do_not_wait_for_each_other() -> None:
    bed = Bed()
    bed.gate.set()
    alarm = WakeCoalescer(bed, lambda: NOON)
    alarm("r-1")
    alarm("r-2")
    await alarm.close()
    assert sorted(bed.told) == ["wake r-1", "wake r-2"]


async def test_a_database_that_is_away_is_no_end_of_the_alarm() -> None:
    bed = Bed(is_away=True)
    bed.gate.set()
    alarm = WakeCoalescer(bed, lambda: NOON)
    alarm("r-1")
    await alarm.close()
    bed.is_away = False
    alarm("r-1")
    await alarm.close()
    assert bed.told == ["wake r-1"]


def test_where_nobody_is_to_be_woken_nothing_happens() -> None:
    no_wake("r-1")


async def test_under_a_storm_a_rollout_is_woken_now_and_then() -> None:
    bed = Bed()
    bed.gate.set()
    alarm = WakeCoalescer(bed, lambda: NOON, rest=timedelta(milliseconds=50))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(100):
        alarm("r-1")
        await asyncio.sleep(0.001)
    rests = (loop.time() - begun) / 0.05
    await alarm.close()
    assert 2 <= bed.told.count("wake r-1") <= rests + 2
