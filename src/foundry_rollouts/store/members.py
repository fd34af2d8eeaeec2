"""The rollouts of a group: the current one of each of its agents, and those of a run, in one statement."""

from collections.abc import Sequence

from sqlalchemy import bindparam, case, func, or_, select

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.store import rollouts
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.many import padded
from foundry_rollouts.store.tables import UNFINISHED
from foundry_rollouts.store.tables import rollouts as table

#: As ``Place`` of the queue sorts them.
_IN_TURN = (
    case((table.c.step > 0, 0), else_=1),
    case((table.c.document["is_return"].as_boolean().is_(True), 0), else_=1),
    case((table.c.document["is_held"].as_boolean().is_(True), 1), else_=0),
    table.c.created_at,
    table.c.id,
)
_TURN = func.row_number().over(partition_by=table.c.agent, order_by=_IN_TURN).label("turn")
_WAITING = (
    select(table.c.id, _TURN).where(table.c.agent.in_(bindparam("agents", expanding=True)), UNFINISHED).subquery()
)
_CURRENT = select(_WAITING.c.id).where(_WAITING.c.turn == 1)
_MEMBERS = select(*rollouts.COLUMNS).where(
    or_(table.c.id.in_(_CURRENT), table.c.id.in_(bindparam("run", expanding=True)))
)


class Members:
    """What is asked of the store about groups."""

    _database: Database

    async def members(self, agents: Sequence[str], run: Sequence[str]) -> Sequence[Rollout]:
        """Return the current rollout of each of ``agents`` that has one, and those of ``run``, ended or not."""
        asked = {"agents": padded(agents), "run": padded(run)}
        async with self._database.reading() as connection:
            return [rollouts.of_row(row) for row in await connection.execute(_MEMBERS, asked)]
