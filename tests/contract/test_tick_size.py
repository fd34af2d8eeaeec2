"""What a tick asks of the database, as ``tools.tick_size`` counts it."""

from collections.abc import Callable
from functools import cache

from foundry_rollouts.store.store import SqlStore
from group_world import ROUND, GroupWorld
from statements import counting
from tools.tick_size import quiet_ticks


async def test_fifty_quiet_ticks_at_once_share_their_statements_and_commits(database_url: str) -> None:
    """The goal is four statements and one commit a tick; what is shared costs far less, however it falls together."""
    cost = await quiet_ticks(database_url, 50, rounds=1)
    assert cost.statements <= 4
    assert cost.commits <= 1


async def test_a_tick_alone_asks_no_more_than_before_there_were_others(database_url: str) -> None:
    cost = await quiet_ticks(database_url, 1, rounds=1)
    assert cost.statements <= 10
    assert cost.commits == 1


async def test_the_group_of_an_agent_costs_one_statement_more(open_store: Callable[[str], SqlStore]) -> None:
    open_once = cache(open_store)
    world = GroupWorld(open_once)
    for source in world.sources.values():
        source.calls = 1
    await world.begin()
    await world.run(3)
    assert set(world.weights().values()) == {10}
    store = open_once("replica-9")
    _, ticker = world.ticker_of(store)
    world.time += ROUND
    first, *others = await store.claim_due(world.time, 10)
    await ticker.tick(first)
    for lease in others:
        with counting(store) as tally:
            await ticker.tick(lease)
        assert tally.statements <= 11
        assert tally.commits == 1
