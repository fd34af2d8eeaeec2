"""Agents by the page: what a listing of ten thousand needs, without reading them all."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, or_, select

from foundry_rollouts.ports import AgentFilter, AgentKnown, Queue
from foundry_rollouts.store import queue
from foundry_rollouts.store.agents import from_row
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.tables import agents


class AgentPages:
    """What is asked of the store about many agents."""

    _database: Database

    async def agents_page(self, which: AgentFilter) -> Sequence[AgentKnown]:
        """Return some agents, by name."""
        query = named(select(agents), which).order_by(agents.c.name).limit(which.limit)
        if which.after is not None:
            query = query.where(agents.c.name > which.after)
        async with self._database.reading() as connection:
            return [from_row(row) for row in await connection.execute(query)]

    async def agents_counted(self, which: AgentFilter) -> int:
        """Return how many agents ``which`` names, on all pages."""
        async with self._database.reading() as connection:
            return await connection.scalar(named(select(func.count()).select_from(agents), which)) or 0

    async def queues(self, agents: Sequence[str]) -> Mapping[str, Queue]:
        """Return the current rollout of each of ``agents`` that has one, and how many wait behind it."""
        async with self._database.reading() as connection:
            return await queue.in_hand(connection, agents)


def named(query: Select[Any], which: AgentFilter) -> Select[Any]:
    """Return ``query`` for the agents that ``which`` names, on all pages."""
    if not which.with_gone:
        query = query.where(agents.c.is_gone.is_(False))
    if which.words is not None:
        searched = (agents.c.name, agents.c.policy, agents.c.stable, agents.c.latest)
        query = query.where(or_(*(column.icontains(which.words, autoescape=True) for column in searched)))
    if which.only is not None:
        query = query.where(agents.c.name.in_(sorted(which.only)))
    if which.but:
        query = query.where(agents.c.name.not_in(sorted(which.but)))
    return query
