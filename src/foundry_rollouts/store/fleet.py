"""All agents together: what has not ended, and what ended badly."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.effects import Mode
from foundry_rollouts.core.model.fleet import BadEnd, FleetFacts, FleetQuestion, Trial
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.store.acknowledgements import unknown_ends
from foundry_rollouts.store.many import AnyRow, padded
from foundry_rollouts.store.tables import UNFINISHED, agents, intents, rollouts

#: The advisory lock that starts of one PostgreSQL database take in turn, where they may have to wait for one another.
START_LOCK = 7_249_006_713
#: An intent that is open for the start of that rollout: the weight may be there already.
_STARTS = intents.c.document[("record", "rollout", "id")].as_string() == rollouts.c.id
_TRIALS = (
    select(
        rollouts.c.id,
        rollouts.c.agent,
        rollouts.c.canary,
        rollouts.c.created_at,
        rollouts.c.phase,
        rollouts.c.step,
        rollouts.c.due_at,
        intents.c.document[("record", "rollout", "step")].as_integer().label("wanted"),
        rollouts.c.policy["mode"].as_string().label("mode"),
        rollouts.c.document["is_return"].as_boolean().label("is_return"),
        rollouts.c.document["held_by"].as_string().label("held_by"),
        rollouts.c.document[("in_group", "run")].label("run"),
        case((rollouts.c.step > 0, rollouts.c.policy["labels"])).label("labels"),
    )
    .select_from(rollouts.outerjoin(intents, and_(intents.c.agent == rollouts.c.agent, _STARTS)))
    .where(UNFINISHED)
)
_BAD_ENDS = unknown_ends(rollouts.c.id, rollouts.c.agent, rollouts.c.canary, rollouts.c.phase).order_by(
    rollouts.c.created_at, rollouts.c.id
)


async def hold_starts(connection: AsyncConnection) -> None:
    """Let no other start be recorded until the transaction ends; on SQLite there is one writer anyhow."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({START_LOCK})"))


async def read(connection: AsyncConnection, asked: FleetQuestion) -> FleetFacts:
    """Return how all agents stand."""
    query = _TRIALS if asked.before is None else _TRIALS.where(_matters(asked, asked.before))
    trials = tuple(_trial(row) for row in await connection.execute(query))
    known: frozenset[str] = frozenset()
    if asked.agents:
        there = select(agents.c.name).where(agents.c.name.in_(padded(asked.agents)), agents.c.is_gone.is_(False))
        known = frozenset(await connection.scalars(there))
    return FleetFacts(trials, await _bad_ends(connection, asked), known)


def _matters(asked: FleetQuestion, before: datetime) -> ColumnElement[bool]:
    """Return the condition of rollouts that could keep one from its start that was created ``before`` then."""
    waits = and_(rollouts.c.document["held_by"].as_string() == "queue", rollouts.c.created_at <= before)
    is_named = or_(rollouts.c.agent.in_(padded(asked.agents)), rollouts.c.id.in_(padded(asked.run)))
    return or_(rollouts.c.step > 0, intents.c.agent.is_not(None), waits, is_named)


async def _bad_ends(connection: AsyncConnection, asked: FleetQuestion) -> Mapping[str, BadEnd]:
    if not asked.agents and not asked.of_all:
        return {}
    query = _BAD_ENDS if asked.of_all else _BAD_ENDS.where(rollouts.c.agent.in_(padded(asked.agents)))
    return {
        row.agent: BadEnd(row.id, row.agent, row.canary, Phase(row.phase)) for row in await connection.execute(query)
    }


def _trial(row: AnyRow) -> Trial:
    return Trial(
        rollout=row.id,
        agent=row.agent,
        canary=row.canary,
        created_at=row.created_at,
        phase=Phase(row.phase),
        is_under_way=row.step > 0 or bool(row.wanted),
        is_observed=row.mode == Mode.OBSERVE,
        is_revert=bool(row.is_return),
        held_by=row.held_by,
        due_at=row.due_at,
        labels=tuple(row.labels or ()),
        run=tuple(row.run or ()),
    )
