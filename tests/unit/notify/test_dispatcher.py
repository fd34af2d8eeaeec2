"""The dispatcher: who is told when, what is tried again and how long, and what is given up."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from builders import NOON, a_rollout, an_event
from fakes import a_store
from foundry_rollouts.notify.dispatcher import LONGEST_PAUSE, MAX_CONCURRENT, Dispatcher, UndeliveredError
from foundry_rollouts.ports import Backlog, Record
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from patience import PATIENCE
from receivers import Listener

DOWN = UndeliveredError("the receiver answers HTTP 500")


@dataclass
class Office:
    """A dispatcher with its outbox, its receiver, and a clock by hand."""

    store: SqlStore
    listener: Listener = field(default_factory=Listener)
    metrics: Metrics = field(default_factory=lambda: Metrics("test"))
    time: datetime = NOON
    luck: float = 1.0
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(
            self.store, self.listener, self.metrics, lambda: self.time, timedelta(hours=24), lambda: self.luck
        )

    async def happened(self, rollout: str, *numbers: int) -> None:
        """Let events of a rollout happen now; the first of all begins it."""
        agent = f"agent-{rollout}"
        events = [an_event(id=f"{rollout}:{n}", agent=agent, rollout=rollout, at=self.time) for n in numbers]
        if 1 in numbers:
            await self.store.create(a_rollout(id=rollout, agent=agent), events.pop(0), None)
        lease = await self.store.claim(agent, self.time)
        assert lease is not None
        for event in events:
            await self.store.record(lease, Record(event=event))

    async def after(self, **span: float) -> list[str]:
        """Let time pass, drain, and return what was told by then."""
        self.time += timedelta(**span)
        await self.dispatcher.drain()
        return self.listener.told

    async def until_pending(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await self.store.backlog()).pending != count:
                pass

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"foundry_rollouts_{name}", labels)

    def outcomes(self) -> dict[str, float | None]:
        return {name: self.value("deliveries_total", outcome=name) for name in ("delivered", "failed", "given_up")}


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with a_store(tmp_path) as store:
        yield Office(store)


async def test_everything_is_told_in_the_order_in_which_it_happened(office: Office) -> None:
    await office.happened("a", 1, 2, 3)
    assert await office.after() == ["a:1", "a:2", "a:3"]
    assert await office.store.backlog() == Backlog(0, None)
    assert office.outcomes() == {"delivered": 3, "failed": 0, "given_up": 0}


async def test_a_few_are_on_their_way_at_once_and_no_more(office: Office) -> None:
    for number in range(2 * MAX_CONCURRENT + 1):
        await office.happened(f"r{number}", 1)
    assert len(await office.after()) == 2 * MAX_CONCURRENT + 1
    assert office.listener.at_once == MAX_CONCURRENT


async def test_a_receiver_that_fails_is_tried_again_after_growing_pauses(office: Office) -> None:
    await office.happened("a", 1)
    office.listener.trouble = DOWN
    await office.after()
    for attempt, pause in enumerate([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300], start=1):
        await office.after(seconds=pause - 0.01)
        assert office.listener.asked == attempt
        await office.after(seconds=0.01)
        assert office.listener.asked == attempt + 1
    office.listener.trouble = None
    assert await office.after(minutes=5) == ["a:1"]
    assert office.outcomes() == {"delivered": 1, "failed": 12, "given_up": 0}


async def test_pauses_differ_by_up_to_a_half_so_that_nobody_is_met_in_step(office: Office) -> None:
    await office.happened("a", 1)
    office.listener.trouble, office.luck = DOWN, 0.0
    await office.after()
    await office.after(seconds=0.49)
    assert office.listener.asked == 1
    await office.after(seconds=0.01)
    assert office.listener.asked == 2


@pytest.mark.parametrize(("asked_for", "pause"), [(60.0, 60.0), (0.1, 1.0), (86_400.0, LONGEST_PAUSE.total_seconds())])
async def test_a_pause_that_the_receiver_asks_for_is_kept_within_reason(
    office: Office, asked_for: float, pause: float
) -> None:
    await office.happened("a", 1)
    office.listener.trouble = UndeliveredError("the receiver answers HTTP 429", timedelta(seconds=asked_for))
    await office.after()
    await office.after(seconds=pause - 0.01)
    assert office.listener.asked == 1
    await office.after(seconds=0.01)
    assert office.listener.asked == 2


async def test_a_message_that_is_never_confirmed_holds_up_its_own_rollout_only(office: Office) -> None:
    office.listener.refuses = {"a:1"}
    await office.happened("a", 1, 2)
    await office.happened("b", 1, 2)
    assert await office.after() == ["b:1", "b:2"]


async def test_a_message_that_hangs_holds_up_neither_others_nor_what_happens_meanwhile(office: Office) -> None:
    office.dispatcher.check_every = timedelta(milliseconds=5)
    office.listener.hangs = {"a:1"}
    await office.happened("a", 1, 2)
    await office.happened("b", 1, 2)
    draining = asyncio.create_task(office.dispatcher.drain())
    await office.until_pending(2)
    await office.happened("c", 1)
    await office.until_pending(2)
    assert office.listener.told == ["b:1", "b:2", "c:1"]
    draining.cancel()
    await asyncio.wait([draining])


async def test_a_message_is_given_up_a_day_after_its_event_and_that_is_told(office: Office) -> None:
    office.listener.refuses = {"a:1"}
    await office.happened("a", 1)
    await office.after(hours=23.9)
    await office.happened("a", 2)
    with capture_logs() as logs:
        assert await office.after(hours=0.1) == ["a:2"]
    assert [(line["log_level"], line["because"]) for line in logs if line["event"] == "messages.given_up"] == [
        ("warning", "event a:1 after 2 attempts: the receiver answers HTTP 400")
    ]
    assert office.outcomes() == {"delivered": 1, "failed": 1, "given_up": 1}
    assert await office.store.backlog() == Backlog(0, None)


async def test_what_is_older_than_that_is_tried_once_before_it_is_given_up(office: Office) -> None:
    await office.happened("a", 1)
    assert await office.after(days=9) == ["a:1"]


async def test_a_lost_receiver_is_told_once_and_so_is_its_return(office: Office) -> None:
    await office.happened("a", 1)
    await office.happened("b", 1)
    with capture_logs() as logs:
        office.listener.trouble = DOWN
        await office.after()
        await office.after(minutes=1)
        office.listener.trouble = None
        await office.after(minutes=1)
    assert [(line["event"], line["because"]) for line in logs] == [
        ("receiver.lost", "the receiver answers HTTP 500"),
        ("receiver.found", "it confirms messages again"),
    ]


async def test_the_backlog_and_its_age_are_shown(office: Office) -> None:
    await office.happened("a", 1, 2)
    office.listener.trouble = DOWN
    await office.after()
    await office.after(seconds=60)
    assert (office.value("outbox_pending"), office.value("outbox_oldest_seconds")) == (2, 60)
    office.listener.trouble = None
    await office.after(seconds=60)
    assert (office.value("outbox_pending"), office.value("outbox_oldest_seconds")) == (0, 0)


async def test_without_a_receiver_what_an_earlier_one_was_to_be_told_is_retired_after_a_day(office: Office) -> None:
    await office.happened("a", 1, 2)
    office.dispatcher.receiver = None
    await office.after(hours=23.9)
    assert office.value("outbox_pending") == 2
    with capture_logs() as logs:
        await office.after(hours=0.2)
    assert [(line["count"], line["because"]) for line in logs] == [(2, "no receiver is configured")]
    await office.after()
    assert office.value("outbox_pending") == 0
    assert office.outcomes() == {"delivered": 0, "failed": 0, "given_up": 2}


async def test_a_courier_that_stood_still_with_a_message_in_hand_leaves_it_to_others(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.happened("a", 1)
    take = office.store.take_messages

    async def slowly(now: datetime, limit: int, until: datetime) -> object:
        messages = await take(now, limit, until)
        office.time = until - timedelta(seconds=9)
        return messages

    monkeypatch.setattr(office.store, "take_messages", slowly)
    assert await office.after() == []
    assert office.listener.asked == 0
