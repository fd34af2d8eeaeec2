"""Notices: one row for each target and state, with the message that is to be sent next.

News become notices in one transaction that locks them, so that replicas take turns and the states of a subject follow
one another as they happened. A claimed notice is one whose due time lies ahead, as in ``outbox``.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.notice import Thread, confirmed, is_reminded
from foundry_rollouts.ports.notices import News, Notice, NoticeWork, TargetState
from foundry_rollouts.store import history, rollouts
from foundry_rollouts.store.notice_page import Page, columns_of, thread_of
from foundry_rollouts.store.notice_tables import news, notices
from foundry_rollouts.store.tables import agents, events

Choose = Callable[[News], Sequence[str]]


async def distribute(connection: AsyncConnection, now: datetime, limit: int, choose: Choose) -> int:
    """Turn the oldest news into notices; return how many were news."""
    chosen = await connection.execute(
        select(events)
        .join(news, news.c.event == events.c.seq)
        .order_by(events.c.seq)
        .limit(limit)
        .with_for_update(of=news)
    )
    rows = chosen.all()
    if not rows:
        return 0
    await connection.execute(delete(news).where(news.c.event.in_([row.seq for row in rows])))
    page = Page(now, (await connection.execute(_about({row.agent for row in rows}))).all())
    for each in await _known(connection, rows):
        page.close(each)
        for target in choose(each):
            page.hear(each, target)
    await page.write(connection)
    return len(rows)


async def take(
    connection: AsyncConnection, target: str, now: datetime, limit: int, until: datetime
) -> Sequence[Notice]:
    """Claim what is due for ``target``; of a subject whose states were not announced yet, the oldest."""
    earlier = notices.alias("earlier")
    is_behind = (
        select(earlier.c.id)
        .where(
            earlier.c.target == target,
            earlier.c.subject == notices.c.subject,
            earlier.c.said_at.is_(None),
            earlier.c.event < notices.c.event,
            # One that is held for quiet hours holds nobody up.
            or_(earlier.c.due_at <= now, and_(earlier.c.due_at > now, earlier.c.attempts > 0)),
        )
        .exists()
    )
    chosen = await connection.execute(
        select(notices.c.id)
        .where(notices.c.target == target, notices.c.due_at <= now, ~is_behind)
        .order_by(notices.c.event)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = [row.id for row in chosen]
    if not ids:
        return ()
    await connection.execute(
        update(notices).where(notices.c.id.in_(ids)).values(due_at=until, attempts=notices.c.attempts + 1)
    )
    rows = await connection.execute(
        select(events, *(notices.c[name].label(f"n_{name}") for name in _OF_NOTICE))
        .join(notices, notices.c.event == events.c.seq)
        .where(notices.c.id.in_(ids))
        .order_by(events.c.seq)
    )
    found = rows.all()
    about = await rollouts.by_id(connection, {row.rollout for row in found if row.rollout})
    return [_notice(row, about) for row in found]


async def mark_sent(connection: AsyncConnection, notice: Notice, now: datetime) -> None:
    """Note that the target has the message, whoever holds it by now."""
    row = (await connection.execute(select(notices).where(notices.c.id == notice.id).with_for_update())).one_or_none()
    if row is not None and _turn(row.first_at, row.sent) == notice.turn:
        await _settle(connection, row, notice, now, None)


async def put_off(connection: AsyncConnection, notice: Notice, due_at: datetime, because: str | None) -> None:
    """Put a notice back unless others claimed it."""
    tried = {} if because else {"attempts": 0}
    await connection.execute(update(notices).where(_is_ours(notice)).values(due_at=due_at, trouble=because, **tried))


async def drop(connection: AsyncConnection, notice: Notice, now: datetime, because: str) -> None:
    """Give a notice up unless others claimed it."""
    row = (await connection.execute(select(notices).where(_is_ours(notice)).with_for_update())).one_or_none()
    if row is not None:
        await _settle(connection, row, notice, now, because)


async def work(connection: AsyncConnection, now: datetime) -> NoticeWork:
    """Return what there is to do by now; what is over is not read."""
    count = await connection.scalar(select(func.count()).select_from(news)) or 0
    is_pending = or_(notices.c.due_at <= now, and_(notices.c.due_at > now, notices.c.attempts > 0))
    query = select(notices.c.target, func.count().label("pending"), func.min(notices.c.since).label("oldest")).where(
        is_pending
    )
    rows = await connection.execute(query.group_by(notices.c.target))
    return NoticeWork(count, [TargetState(row.target, row.pending, row.oldest) for row in rows])


async def states(connection: AsyncConnection, now: datetime) -> Sequence[TargetState]:
    """Return how the notices to each target fare: what waits, since when, and why."""
    is_pending = and_(notices.c.due_at.is_not(None), or_(notices.c.due_at <= now, notices.c.attempts > 0))
    query = select(
        notices.c.target,
        func.count(case((is_pending, 1))).label("pending"),
        func.min(case((is_pending, notices.c.since))).label("oldest"),
        func.sum(notices.c.given_up).label("given_up"),
        func.max(case((is_pending, notices.c.trouble))).label("trouble"),
    )
    rows = await connection.execute(query.group_by(notices.c.target).order_by(notices.c.target))
    return [TargetState(row.target, row.pending, row.oldest, int(row.given_up), row.trouble) for row in rows]


async def forget(connection: AsyncConnection, known: Sequence[str], before: datetime) -> int:
    """Delete what is over since then, and what is for nobody; return how many rows went."""
    is_over = and_(notices.c.due_at.is_(None), notices.c.said_at < before)
    is_for_nobody = and_(notices.c.target.not_in(known), notices.c.first_at < before)
    gone = await connection.execute(delete(notices).where(or_(is_over, is_for_nobody)))
    if known:
        return gone.rowcount
    old = select(events.c.seq).where(events.c.at < before)
    unheard = await connection.execute(delete(news).where(news.c.event.in_(old)))
    return gone.rowcount + unheard.rowcount


_OF_NOTICE = ("id", "target", "first_at", "said_at", "repeats", "sent", "since", "attempts")


async def _known(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> Sequence[News]:
    """Return the news with what is known of their rollouts and agents."""
    about = await rollouts.by_id(connection, {row.rollout for row in rows if row.rollout})
    names = {row.agent for row in rows if not row.rollout}
    found = await connection.execute(select(agents.c.name, agents.c.policy).where(agents.c.name.in_(names)))
    policies = {row.name: row.policy for row in found}
    return [_news(row, about.get(row.rollout), policies) for row in rows]


def _news(row: Row[Any], rollout: Any, policies: dict[str, str | None]) -> News:
    policy = row.policy or (rollout.policy.name if rollout else policies.get(row.agent))
    return News(row.seq, history.event_of(row), rollout, policy)


def _about(names: Collection[str]) -> Select[Any]:
    """Return the query of all notices about agents, locked until the transaction ends."""
    return select(notices).where(notices.c.agent.in_(names)).with_for_update()


async def _settle(
    connection: AsyncConnection, row: Row[Any], notice: Notice, now: datetime, trouble: str | None
) -> None:
    """Write that a message is behind us, and when the next one comes."""
    thread = confirmed(thread_of(row), now, merged=notice.repeats, is_reminded=is_reminded(notice.event))
    counted = {"sent": row.sent + 1, "attempts": 0, "since": thread.due_at}
    lost = {"trouble": trouble, "given_up": row.given_up + int(trouble is not None)}
    await _write(connection, row.id, thread, **counted, **lost)


async def _write(connection: AsyncConnection, id: int, thread: Thread, **more: Any) -> None:  # noqa: A002 - the column
    await connection.execute(update(notices).where(notices.c.id == id).values(**columns_of(thread), **more))


def _notice(row: Row[Any], about: Any) -> Notice:
    return Notice(
        id=row.n_id,
        key=_key(row.n_target, row.id, _turn(row.n_first_at, row.n_sent)),
        turn=_turn(row.n_first_at, row.n_sent),
        target=row.n_target,
        event=history.event_of(row),
        rollout=about.get(row.rollout),
        attempts=row.n_attempts,
        since=row.n_since or row.n_first_at,
        repeats=row.n_repeats,
        is_reminder=row.n_said_at is not None,
    )


def _turn(first_at: datetime, sent: int) -> str:
    return f"{first_at.isoformat()}/{sent}"


def _key(target: str, event: str, turn: str) -> str:
    """Return what names one message, whoever sends it and how often."""
    return "ntc_" + sha256("\n".join((target, event, turn)).encode()).hexdigest()[:32]


def _is_ours(notice: Notice) -> ColumnElement[bool]:
    """Whoever takes a notice counts on, so the number of attempts tells who was last."""
    return and_(notices.c.id == notice.id, notices.c.attempts == notice.attempts)
