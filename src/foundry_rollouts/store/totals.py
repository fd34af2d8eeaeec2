"""How many rollouts there are in each phase, at a cost that does not grow with those that ended.

Those that have not ended are counted by an index. Those that have are counted once, and from then on by the events that
say so, with the last of them read again: a transaction may commit after others whose events have greater numbers.
"""

from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.decision import WOULD_HAVE
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.store.tables import UNFINISHED, events, rollouts

#: How many of the last events are read again each time: more than come within the longest transaction.
OVERLAP = 5_000
_ENDS = {f"rollout.{phase.value}": phase for phase in Phase if phase.is_final and phase is not Phase.OBSERVED}
#: The end of an observed rollout says what would have been done.
_IS_OBSERVED = and_(events.c.kind.startswith(f"rollout{WOULD_HAVE}"), events.c.phase == Phase.OBSERVED.value)
_ENDED_AS = case((_IS_OBSERVED, Phase.OBSERVED.value), else_=events.c.kind)
_OPEN = [phase.value for phase in Phase if not phase.is_final]

Ended = dict[Phase, int]


@dataclass(slots=True)
class Totals:
    """Counts rollouts for one replica."""

    _ended: Ended | None = None  #: By the events up to ``_upto``; None: not counted yet.
    _upto: int = field(default=0)

    async def counts(self, connection: AsyncConnection) -> dict[Phase, int]:
        """Return how many rollouts there are in each phase; every phase is named."""
        if self._ended is None:
            await self._begin(connection)
        newest = await connection.scalar(select(func.max(events.c.seq))) or 0
        if newest - OVERLAP > self._upto:
            settled = newest - OVERLAP
            self._ended = _sum(self._ended or {}, await _ends(connection, self._upto, settled))
            self._upto = settled
        ended = _sum(self._ended or {}, await _ends(connection, self._upto, None))
        return dict.fromkeys(Phase, 0) | ended | await _unfinished(connection)

    async def _begin(self, connection: AsyncConnection) -> None:
        """Count all that ended, in one statement with the last events, so that both are of one instant."""
        newest = await connection.scalar(select(func.max(events.c.seq))) or 0
        upto = max(0, newest - OVERLAP)
        all_ended = select(rollouts.c.phase, func.count()).where(rollouts.c.phase.not_in(_OPEN))
        both = all_ended.group_by(rollouts.c.phase).union_all(_by_word(upto, None, -func.count()))
        ended: Ended = {}
        for row in await connection.execute(both):
            phase = _phase(row[0])
            ended[phase] = ended.get(phase, 0) + row[1]
        self._ended, self._upto = ended, upto


async def _ends(connection: AsyncConnection, after: int, upto: int | None) -> Ended:
    rows = await connection.execute(_by_word(after, upto, func.count()))
    return {_phase(word): number for word, number in rows}


def _by_word(after: int, upto: int | None, number: ColumnElement[int]) -> Select[str, int]:
    """Return the question how many rollouts ended how, by the events behind ``after``."""
    is_end = or_(events.c.kind.in_(_ENDS), _IS_OBSERVED)
    found = select(_ENDED_AS.label("word")).where(events.c.seq > after, is_end)
    if upto is not None:
        found = found.where(events.c.seq <= upto)
    words = found.subquery()
    return select(words.c.word, number).group_by(words.c.word)


def _phase(word: str) -> Phase:
    return _ENDS.get(word) or Phase(word)


async def _unfinished(connection: AsyncConnection) -> dict[Phase, int]:
    query = select(rollouts.c.phase, func.count()).where(UNFINISHED).group_by(rollouts.c.phase)
    return {Phase(phase): number for phase, number in await connection.execute(query)}


def _sum(one: Ended, other: Ended) -> Ended:
    return {phase: one.get(phase, 0) + other.get(phase, 0) for phase in one.keys() | other.keys()}
