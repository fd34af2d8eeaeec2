"""Who is asked to approve: each change once, reminders until the last approval, and each message with its own link."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from builders import NOON, a_policy, a_rollout, an_event
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.links import Links
from foundry_rollouts.notify.announcer import Announcer, Speaker
from foundry_rollouts.notify.leading import LASTS
from foundry_rollouts.notify.targets import Target
from foundry_rollouts.notify.wording import Words
from foundry_rollouts.ports import Audience, Lease, Record
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics

LINKS = Links("https://rollouts.example.com", b"0123456789abcdef0123456789abcdef")
ABOUT = "0123456789abcdef"


@dataclass
class Reader:
    """A target that remembers what it read."""

    limit: timedelta = timedelta(seconds=10)
    read: list[Words] = field(default_factory=list)

    async def say(self, words: Words, key: str) -> None:
        self.read.append(words)

    async def aclose(self) -> None:
        """Nothing is open."""

    @property
    def links(self) -> list[str]:
        return [words.text.splitlines()[-1] for words in self.read]


@dataclass
class Desk:
    """A rollout that asks, who hears of it, and a clock by hand."""

    store: SqlStore
    lease: Lease
    rollout: Rollout
    people: Reader = field(default_factory=Reader)
    marks: Reader = field(default_factory=Reader)
    time: datetime = NOON
    count: int = 1

    async def happens(self, kind: str, **but: object) -> None:
        self.count += 1
        self.rollout = replace(self.rollout, **but)  # type: ignore[arg-type]
        what = {"rollout": "r-1", "at": self.time, "step": self.rollout.step}
        event = an_event(id=f"r-1:{self.count}", kind=kind, **what)
        await self.store.record(self.lease, Record(rollout=self.rollout, event=event, due_at=self.time))

    async def after(self, span: timedelta = timedelta(0)) -> list[str]:
        """Let time pass, and return the titles of what people heard meanwhile."""
        self.time += span
        before = len(self.people.read)
        speakers = [
            Speaker(Target("people", "json://people"), self.people),
            Speaker(Target("marks", "https://marks.example.com", mark="grafana"), self.marks),
        ]
        day = timedelta(hours=24)
        metrics = Metrics("test")
        announcer = Announcer(self.store, speakers, metrics, lambda: self.time, day, lambda: 1.0, LINKS)
        await announcer.drain()
        return [words.title.rpartition(": ")[2] for words in self.people.read[before:]]


async def a_desk(store: SqlStore) -> Desk:
    store.audience = Audience.TARGETS
    steps = (WeightStep(10), ApprovalStep(count=2), WeightStep(100))
    rollout = a_rollout(policy=a_policy(steps=steps), phase=Phase.PROGRESSING, step=1, started_at=NOON)
    await store.create(rollout, an_event(id="r-1:1", at=NOON), None)
    lease = await store.claim(rollout.agent, NOON)
    assert lease is not None
    return Desk(store, lease, rollout)


async def test_reminders_go_on_until_the_last_approval_each_with_a_link_of_its_own(store: SqlStore) -> None:
    desk = await a_desk(store)
    await desk.happens("rollout.advanced", step=2, step_started_at=NOON, asked_about=ABOUT)
    await desk.happens("rollout.waiting")
    assert await desk.after() == ["created", "advanced", "waiting"]
    assert await desk.after(timedelta(minutes=15)) == ["waiting (reminder)"]
    await desk.happens("rollout.approved")
    assert await desk.after() == ["approved"]
    assert await desk.after(timedelta(minutes=15)) == ["approved (reminder)"]
    await desk.happens("rollout.advanced", step=3, asked_about=None)
    assert await desk.after() == ["advanced"]
    assert await desk.after(timedelta(days=2)) == []
    *asking, last = desk.people.links
    assert last == LINKS.to_rollout("r-1")
    read = [LINKS.read(link.rpartition("/")[2]) for link in asking]
    assert {(link.rollout, link.step, link.of) for link in read} == {("r-1", 2, ABOUT)}
    assert [link.until - LASTS - NOON for link in read] == [timedelta(minutes=m) for m in (0, 0, 0, 15, 15, 30)]


async def test_marks_are_left_without_links(store: SqlStore) -> None:
    desk = await a_desk(store)
    await desk.happens("rollout.advanced", step=2, asked_about=ABOUT)
    await desk.after()
    assert len(desk.marks.read) == 1
    assert "https://" not in desk.marks.read[0].text
