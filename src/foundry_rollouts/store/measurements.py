"""What was measured, and the evidence that it amounts to."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.judging.evidence import Evidence, initial
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.store.documents import EVIDENCE, MEASUREMENT, policy_of
from foundry_rollouts.store.engine import Database, insert_into
from foundry_rollouts.store.many import AnyRow
from foundry_rollouts.store.rollouts import EVIDENCE_TEXT, POLICY_TEXT
from foundry_rollouts.store.tables import evidence, measurements, rollouts

#: Measurements that are checked in one transaction when old ones are taken away: ticks write in between.
FORGOTTEN_AT_ONCE = 2000


class Measured:
    """What is asked of the store about measurements."""

    _database: Database

    async def measurements(self, rollout: str, limit: int = 1000) -> Sequence[Measurement]:
        """Return the last measurements of a rollout, newest last."""
        return [measurement for _, measurement in await self.measured_before(rollout, None, limit)]

    async def measured_before(self, rollout: str, before: int | None, limit: int) -> Sequence[tuple[int, Measurement]]:
        """Return the last measurements before the one of that number, newest last, each with its number."""
        async with self._database.reading() as connection:
            return await numbered(connection, rollout, before, limit)

    async def measurements_behind(self, rollout: str, known: int) -> Sequence[Measurement]:
        """Return the measurements of a rollout in the order in which they came, without the first ``known``."""
        async with self._database.reading() as connection:
            return await behind(connection, rollout, known)

    async def forget_measurements(self, before: datetime) -> int:
        """Take away what ended rollouts measured before that time; return how many."""
        count, behind = 0, 0
        while True:
            async with self._database.writing() as connection:
                gone, after = await forget(connection, before, behind)
            count += gone
            if after is None:
                return count
            behind = after


async def save_measurements(connection: AsyncConnection, rollout: str, measured: Sequence[Measurement]) -> None:
    """Add measurements; one of the same source and window is not counted twice."""
    if rows := rows_of(rollout, measured):
        await connection.execute(insert_into(connection, measurements).on_conflict_do_nothing(), rows)


def rows_of(rollout: str, measured: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return the rows of measurements."""
    return [
        {
            "rollout": rollout,
            "source": measurement.source,
            "starts_at": measurement.window.start,
            "ends_at": ends_at,
            "document": MEASUREMENT.write(measurement),
        }
        for measurement, ends_at in zip(measured, ends(measured), strict=True)
    ]


def ends(measured: Sequence[Measurement]) -> Sequence[datetime]:
    """Return where the row of each measurement ends.

    Behind that of the present window stand those of calls that began earlier: each in the row of a span from then to
    the present window's end, since several ticks may tell of one window. The document has the window itself.
    """
    present = {each.source: each.window for each in reversed(measured)}
    return [max(each.window.end, present[each.source].end) for each in measured]


async def numbered(
    connection: AsyncConnection, rollout: str, before: int | None, limit: int
) -> Sequence[tuple[int, Measurement]]:
    """Return the last ``limit`` measurements before the one of that number, newest last, each with its number."""
    query = select(measurements.c.seq, measurements.c.document).where(measurements.c.rollout == rollout)
    if before is not None:
        query = query.where(measurements.c.seq < before)
    rows = (await connection.execute(query.order_by(measurements.c.seq.desc()).limit(limit))).all()
    return [(row.seq, MEASUREMENT.read(row.document)) for row in reversed(rows)]


async def behind(connection: AsyncConnection, rollout: str, known: int) -> Sequence[Measurement]:
    """Return the measurements of ``rollout`` in the order in which they came, without the first ``known``."""
    query = select(measurements.c.document).where(measurements.c.rollout == rollout).order_by(measurements.c.seq)
    return [MEASUREMENT.read(document) for document in await connection.scalars(query.offset(known))]


async def forget(connection: AsyncConnection, before: datetime, behind: int) -> tuple[int, int | None]:
    """Look at the next measurements ``behind`` a number, and take away what ended rollouts measured before that time.

    Return how many those were, and behind which number to go on; None where all that follows is younger.
    """
    next_ones = select(measurements.c.seq, measurements.c.ends_at).where(measurements.c.seq > behind)
    seen = (await connection.execute(next_ones.order_by(measurements.c.seq).limit(FORGOTTEN_AT_ONCE))).all()
    if not seen or min(row.ends_at for row in seen) >= before:
        return 0, None
    is_ended = rollouts.c.phase.in_([phase.value for phase in Phase if phase.is_final])
    gone = await connection.execute(
        delete(measurements).where(
            measurements.c.seq > behind,
            measurements.c.seq <= seen[-1].seq,
            measurements.c.ends_at < before,
            exists().where(rollouts.c.id == measurements.c.rollout, is_ended),
        )
    )
    return gone.rowcount, seen[-1].seq


async def save_evidence(connection: AsyncConnection, rollout: str, weighed: Evidence) -> None:
    """Replace the evidence of ``rollout``."""
    insert = insert_into(connection, evidence).values(rollout=rollout, document=EVIDENCE.write(weighed))
    await connection.execute(
        insert.on_conflict_do_update(index_elements=[evidence.c.rollout], set_={"document": insert.excluded.document})
    )


async def evidence_of(connection: AsyncConnection, rollout: str) -> Evidence:
    """Return the evidence of ``rollout``; before the first measurement it is fresh."""
    found = await evidence_of_each(connection, [rollout])
    if rollout not in found:
        raise NotFoundError(f"there is no rollout {rollout}")
    return found[rollout]


async def evidence_of_each(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, Evidence]:
    """Return the evidence of the rollouts of those ids that there are."""
    query = select(rollouts.c.id, POLICY_TEXT, EVIDENCE_TEXT).outerjoin(evidence)
    return {row.id: evidence_in(row) for row in await connection.execute(query.where(rollouts.c.id.in_(ids)))}


def evidence_in(row: AnyRow) -> Evidence:
    """Return the evidence of a row that has it beside the policy; before the first measurement it is fresh."""
    return initial(policy_of(row.policy)) if row.evidence is None else EVIDENCE.read_text(row.evidence)
