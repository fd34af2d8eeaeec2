"""The notices about some agents, in memory while news are added to them: read once, and written once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.notice import Thread, closed, ends_all, heard, state_of, subject_of
from foundry_rollouts.ports.notices import News
from foundry_rollouts.store.notice_tables import notices

#: What is written of a notice each time.
_WRITTEN = ("event", "sent", "since", "attempts", "trouble", "first_at", "said_at", "repeats", "closed_at", "due_at")


class Page:
    """Notices by target, subject and state."""

    def __init__(self, now: datetime, rows: Sequence[Row[Any]]) -> None:
        self._now = now
        self._notices = {(row.target, row.subject, row.state): dict(row._mapping) for row in rows}
        self._changed: set[tuple[str, str, str]] = set()

    def close(self, each: News) -> None:
        """End the states that an event is not of: those of its subject, or all of the agent."""
        event = each.event
        subject, state = subject_of(event), state_of(event)
        for key, row in self._notices.items():
            is_about = row["agent"] == event.agent if ends_all(event) else row["subject"] == subject
            is_other = (row["subject"], row["state"]) != (subject, state)
            if is_about and is_other and row["closed_at"] is None and row["event"] < each.number:
                row.update(columns_of(closed(_thread_in(row), self._now)))
                self._changed.add(key)

    def hear(self, each: News, target: str) -> None:
        """Add an event to what ``target`` is to hear."""
        event = each.event
        key = (target, subject_of(event), state_of(event))
        row = self._notices.get(key)
        thread = heard(_thread_in(row) if row else None, self._now)
        if row is None or thread.first_at != row["first_at"]:
            said = {"sent": 0, "since": self._now, "attempts": 0, "trouble": None}
        else:
            said = {} if row["due_at"] is not None else {"since": thread.due_at}
        names = dict(zip(("target", "subject", "state"), key, strict=True))
        self._notices[key] = {
            **(row or {**names, "agent": event.agent, "given_up": 0}),
            **said,
            **columns_of(thread),
            "event": each.number,
        }
        self._changed.add(key)

    async def write(self, connection: AsyncConnection) -> None:
        """Write what changed."""
        changed = [self._notices[key] for key in self._notices if key in self._changed]
        known = [{f"n_{name}": row[name] for name in ("id", *_WRITTEN)} for row in changed if "id" in row]
        if new := [row for row in changed if "id" not in row]:
            await connection.execute(insert(notices), new)
        if known:
            values: dict[str, Any] = {name: bindparam(f"n_{name}") for name in _WRITTEN}
            await connection.execute(update(notices).where(notices.c.id == bindparam("n_id")).values(**values), known)


def columns_of(thread: Thread) -> dict[str, Any]:
    """Return what is written of ``thread``."""
    names = ("first_at", "said_at", "repeats", "closed_at", "due_at")
    return {name: getattr(thread, name) for name in names}


def thread_of(row: Row[Any]) -> Thread:
    """Return what a row holds."""
    return Thread(row.first_at, row.said_at, row.repeats, row.closed_at, row.due_at)


def _thread_in(row: dict[str, Any]) -> Thread:
    return Thread(row["first_at"], row["said_at"], row["repeats"], row["closed_at"], row["due_at"])
