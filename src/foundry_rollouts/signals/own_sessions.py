"""Which sessions are the service's own: what they do and log is no traffic of users.

Those that it opens by name carry a prefix. Where the cloud opens one for a call, its id is known once the call is
answered; until then any session that began meanwhile may be it, and after a call without an answer for good.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from foundry_rollouts.ports import Answer, LogLine, Sessions, SessionSeen

#: The prefix of every probe session's id, so that everybody can tell them from users' sessions.
PREFIX = "probe-"
#: Of those, the ones that are opened to see whether sandboxes become ready; what they log is no evidence.
LOOK = f"{PREFIX}ready-"
#: Clocks of the cloud and ours may differ by so much, and the cloud tells whole seconds.
SKEW = timedelta(seconds=3)
#: How many sessions, and calls without an answer, are remembered.
MOST_SESSIONS, MOST_LOST = 10_000, 1_000


@dataclass(slots=True)
class Opening:
    """A call for which the cloud opens a session."""

    agent: str
    begun_at: datetime
    ended_at: datetime | None = None
    session: str | None = None  #: Once the answer says so.


class OwnSessions:
    """The sessions of the cloud, for sources that share what is known of those that are ours."""

    def __init__(self, sessions: Sessions, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._now = now
        self._known: dict[tuple[str, str], None] = {}
        self._open: list[Opening] = []
        self._lost: deque[Opening] = deque(maxlen=MOST_LOST)

    @classmethod
    def over(cls, sessions: Sessions, now: Callable[[], datetime]) -> "OwnSessions":
        """Return ``sessions`` as one of these; one that is one already stays itself."""
        return sessions if isinstance(sessions, cls) else cls(sessions, now)

    def sessions(self, agent: str) -> AsyncIterator[SessionSeen]:
        return self._sessions.sessions(agent)

    async def open_session(self, agent: str, version: str, session: str) -> SessionSeen:
        return await self._sessions.open_session(agent, version, session)

    async def stop_session(self, agent: str, session: str) -> None:
        await self._sessions.stop_session(agent, session)

    async def delete_session(self, agent: str, session: str) -> None:
        await self._sessions.delete_session(agent, session)

    async def ask(self, agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        return await self._sessions.ask(agent, session, question, timeout, stream=stream)

    def log_lines(self, agent: str, version: str, session: str) -> AsyncGenerator[LogLine, None]:
        return self._sessions.log_lines(agent, version, session)

    async def ask_version(
        self, agent: str, version: str, question: Any, timeout: timedelta, *, stream: bool = False
    ) -> Answer:
        """Ask as the cloud does; the session that it opens is one of ours from then on."""
        opening = Opening(agent, self._now())
        self._open.append(opening)
        try:
            answer = await self._sessions.ask_version(agent, version, question, timeout, stream=stream)
            opening.session = answer.session
            return answer
        finally:
            self._open.remove(opening)
            self._settle(opening)

    def includes(self, agent: str, session: str) -> bool:
        """Whether a session is one of ours for certain."""
        return session.startswith(PREFIX) or (agent, session) in self._known

    def may_include(self, agent: str, session: SessionSeen) -> bool:
        """Whether a session that is not known as ours may still turn out to be."""
        if self.includes(agent, session.id):
            return False
        return any(
            each.agent == agent
            and each.begun_at - SKEW <= session.created_at
            and (each.ended_at is None or session.created_at <= each.ended_at + SKEW)
            for each in (*self._open, *self._lost)
        )

    def _settle(self, opening: Opening) -> None:
        opening.ended_at = self._now()
        if opening.session is None:
            self._lost.append(opening)
            return
        self._known[opening.agent, opening.session] = None
        if len(self._known) > MOST_SESSIONS:
            del self._known[next(iter(self._known))]
