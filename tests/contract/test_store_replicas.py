"""Replicas on one database: who is woken, and who is kept out."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from builders import NOON, a_rollout, an_event
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.errors import StoreError
from foundry_rollouts.store.single_replica import single_replica_of
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.wakeups import listen
from patience import PATIENCE

OpenStore = Callable[[str], SqlStore]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_command_and_a_released_lease_ring_at_every_other_replica(store: SqlStore, database_url: str) -> None:
    heard: asyncio.Queue[Sequence[str]] = asyncio.Queue()
    ears = asyncio.create_task(listen(database_url, heard.put_nowait))

    async def next_ring() -> Sequence[str]:
        return await asyncio.wait_for(heard.get(), PATIENCE)

    try:
        assert await next_ring() == ()  # it listens
        await store.create(a_rollout(), an_event(), None)
        assert await next_ring() == ("support-agent",)
        await store.accept(Command("c-1", "r-1", Verb.ABORT, 1, NOON, "ann"))
        assert await next_ring() == ("support-agent",)
        lease = await store.claim("support-agent", NOON)
        assert lease is not None
        await store.hand_over_some([lease], NOON)
        assert await next_ring() == ("support-agent",)
        await store.hand_over(NOON)
        assert await next_ring() == ()
        await store.wake("nobody", NOON)
        await store.wake("r-1", NOON)
        await store.close()
        assert await next_ring() == ("support-agent",)
    finally:
        ears.cancel()


async def test_what_becomes_due_is_heard_here_first_and_by_others_where_it_is_not_held_here(
    store: SqlStore, database_url: str
) -> None:
    heard: asyncio.Queue[Sequence[str]] = asyncio.Queue()
    ears = asyncio.create_task(listen(database_url, heard.put_nowait))
    is_server = database_url.startswith("postgresql")
    here = list[str]()

    def hear(agents: Sequence[str]) -> Sequence[str]:
        here.extend(agents)
        return [agent for agent in agents if agent != "ours"]

    try:
        if is_server:
            assert await asyncio.wait_for(heard.get(), PATIENCE) == ()
        store.hear_here(hear)
        for agent in ("ours", "theirs"):
            await store.create(a_rollout(id=agent, agent=agent), an_event(id=agent, agent=agent, rollout=agent), None)
        assert here == ["ours", "theirs"]
        if is_server:
            assert await asyncio.wait_for(heard.get(), PATIENCE) == ("theirs",)
            lease = await store.claim("ours", NOON)
            assert lease is not None
            await store.hand_over_some([lease], NOON)  # It is held here while it is let go.
            assert await asyncio.wait_for(heard.get(), PATIENCE) == ("ours",)
        assert here == ["ours", "theirs"]
    finally:
        ears.cancel()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_embedded_database_has_nobody_to_listen_to(database_url: str) -> None:
    await asyncio.wait_for(listen(database_url, lambda _: pytest.fail("it listens")), PATIENCE)


def test_an_embedded_database_carries_one_replica_and_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    with single_replica_of(url) as is_alone:
        assert is_alone
        with pytest.raises(StoreError, match="SQLite supports one, use PostgreSQL for more"), single_replica_of(url):
            pass
    with single_replica_of(url):
        pass


def test_a_server_carries_many(tmp_path: Path) -> None:
    url = "postgresql://localhost/history"
    with single_replica_of(url) as one, single_replica_of(url) as other:
        assert not one
        assert not other


async def test_the_only_replica_takes_over_what_an_earlier_process_left(store: SqlStore, open_store: OpenStore) -> None:
    assert await store.claim("support-agent", NOON) is not None
    successor = open_store("successor")
    assert await successor.claim("support-agent", NOON) is None
    await successor.take_over()
    assert await successor.claim("support-agent", NOON) is not None
