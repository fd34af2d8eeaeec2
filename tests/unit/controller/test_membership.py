"""What a replica makes of heartbeats: whose turn it is, and what to do when they cannot be read or an owner sleeps."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from builders import NOON
from foundry_rollouts.controller.membership import Membership
from foundry_rollouts.controller.owners import owner_of
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Due, Leased

LEASE = timedelta(seconds=30)
AGENTS = [f"agent-{number}" for number in range(50)]


@dataclass
class Table:
    """The heartbeats of some replicas, as one of them reads them."""

    live: set[str] = field(default_factory=lambda: {"one", "two"})
    is_away: bool = False
    left: list[str] = field(default_factory=list)
    beats: int = 0

    async def beat(self) -> Leased:
        self.beats += 1
        self._fail()
        return Leased("one", frozenset(self.live), leases=60)

    async def leave(self) -> None:
        self._fail()
        self.left.append("one")

    def _fail(self) -> None:
        if self.is_away:
            raise StoreError("the table is locked")


@dataclass
class Life:
    """A replica called one, and its clock."""

    table: Table = field(default_factory=Table)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.membership = Membership(self.table, lambda: self.seconds, LEASE)

    def chosen(self, *, holder: str | None = None) -> list[str]:
        return [each.agent for each in self.membership.chosen([Due(agent, NOON, holder) for agent in AGENTS])]


@pytest.fixture
async def life() -> Life:
    life = Life()
    assert await life.membership.beat()
    return life


def share_of(name: str, *names: str) -> list[str]:
    return [agent for agent in AGENTS if owner_of(agent, names) == name]


def test_who_does_not_know_the_others_yet_takes_everything() -> None:
    life = Life()
    assert life.chosen() == AGENTS
    assert life.membership.foreign(AGENTS) == []


async def test_a_replica_takes_its_own_share_and_hands_the_rest_over(life: Life) -> None:
    assert life.chosen() == share_of("one", "one", "two")
    assert life.membership.foreign(AGENTS) == share_of("two", "one", "two")
    assert life.membership.fair_share == 30
    life.table.live = {"one"}
    assert await life.membership.beat()
    assert not await life.membership.beat()
    assert life.chosen() == AGENTS


async def test_what_an_owner_leaves_alone_is_everybodys_after_a_while_and_stays_for_a_while(life: Life) -> None:
    life.chosen()
    life.seconds = 10.0
    assert len(life.chosen()) < len(AGENTS)
    life.seconds = 10.1
    assert sorted(life.chosen()) == sorted(AGENTS)
    assert life.membership.foreign(AGENTS) == []
    life.seconds = 40.2
    assert life.membership.foreign(AGENTS) == share_of("two", "one", "two")


async def test_an_agent_that_was_taken_meanwhile_has_not_waited(life: Life) -> None:
    life.chosen()
    life.seconds = 9.0
    assert life.membership.chosen([]) == []
    life.seconds = 18.0
    assert life.chosen() == share_of("one", "one", "two")


async def test_who_let_a_lease_run_out_is_passed_over_and_what_is_ours_already_is_taken(life: Life) -> None:
    assert life.chosen(holder="two") == AGENTS
    assert life.chosen(holder="one") == AGENTS


async def test_heartbeats_that_cannot_be_read_are_believed_for_a_lease_and_then_all_is_everybodys(life: Life) -> None:
    life.table.is_away = True
    life.seconds = 30.0
    assert not await life.membership.beat()
    assert life.chosen() == share_of("one", "one", "two")
    life.seconds = 30.1
    assert await life.membership.beat()
    assert not life.membership.owners.is_known
    assert life.chosen() == AGENTS
    assert life.membership.foreign(AGENTS) == []
    life.table.is_away = False
    assert await life.membership.beat()
    assert life.chosen() == share_of("one", "one", "two")


async def test_who_left_is_not_alive_again_by_a_heartbeat_that_comes_late(life: Life) -> None:
    beats = life.table.beats
    await life.membership.leave()
    assert not await life.membership.beat()
    assert life.table.left == ["one"]
    assert life.table.beats == beats


async def test_a_table_that_is_away_keeps_nobody_from_leaving(life: Life) -> None:
    life.table.is_away = True
    await life.membership.leave()
    assert life.table.left == []
