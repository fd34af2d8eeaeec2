"""What a tick asks of the database, as ``tools.tick_size`` counts it."""

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
