"""What an overview of agents asks for: every promise of ``ports.AgentLists``."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from sqlalchemy import Text, cast, func, or_, select, tuple_

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import LATEST
from foundry_rollouts.ports import AgentFilter
from foundry_rollouts.store import measurements, queue
from foundry_rollouts.store import rollouts as reading
from foundry_rollouts.store.agent_pages import named
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.tables import agents, rollouts


class AgentLists:
    """What is asked of the store for an overview of agents."""

    _database: Database

    def at_once(self) -> AbstractAsyncContextManager[None]:
        """Return a block in which this task reads everything in one transaction."""
        return self._database.reading_at_once()

    async def agents_to_check(self) -> Collection[str]:
        """Return the names of agents that cannot be processed, are closed, or are not pinned to a version."""
        document = cast(agents.c.routing, Text)
        trouble = or_(
            agents.c.unreadable.is_not(None),
            document.contains(f'"{LATEST}"', autoescape=True),
            agents.c.routing["is_open"].as_boolean().is_(False),
        )
        async with self._database.reading() as connection:
            query = select(agents.c.name).where(agents.c.is_gone.is_(False), trouble)
            return list(await connection.scalars(query))

    async def agents_under_way(self) -> Mapping[str, bool]:
        """Return every agent that has an unfinished rollout, and whether its current one waits for a person."""
        async with self._database.reading() as connection:
            return await queue.under_way(connection)

    async def agent_names(self, which: AgentFilter) -> Sequence[str]:
        """Return the names of agents, in their order."""
        query = named(select(agents.c.name), which).order_by(agents.c.name)
        async with self._database.reading() as connection:
            return (await connection.scalars(query)).all()

    async def last_rollouts(self, agents: Collection[str]) -> Mapping[str, Rollout]:
        """Return the newest rollout of each of ``agents`` that ever had one."""
        newest = (
            select(rollouts.c.agent, func.max(rollouts.c.created_at))
            .where(rollouts.c.agent.in_(sorted(agents)))
            .group_by(rollouts.c.agent)
        )
        query = select(rollouts.c.id).where(tuple_(rollouts.c.agent, rollouts.c.created_at).in_(newest))
        async with self._database.reading() as connection:
            ids = list(await connection.scalars(query.order_by(rollouts.c.id)))
            found = await reading.by_id(connection, ids)
        return {found[each].agent: found[each] for each in ids if each in found}

    async def evidence_of_each(self, rollouts: Collection[str]) -> Mapping[str, Evidence]:
        """Return the evidence of those of ``rollouts`` that there are."""
        async with self._database.reading() as connection:
            return await measurements.evidence_of_each(connection, rollouts)
