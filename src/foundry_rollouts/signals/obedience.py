"""Versions asked for by a header of the call: which endpoints obey, found out by asking and never taken for granted.

Regions differ, and so do the proxies before them. An answer that does not say which version served is no agreement.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.core.model.backoff import Backoff
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import Answer

log = structlog.get_logger()

#: After how long an endpoint that did not obey is asked again.
PAUSES = Backoff(timedelta(minutes=10), timedelta(hours=6))
NO_SESSION = "the answer names no session"

Endpoint = tuple[str, int]  #: An agent, and which one of that name: one that is made again is another endpoint.


@dataclass(frozen=True, slots=True)
class Objection:
    """Why it is not certain that a version served that was asked for."""

    because: str
    is_told: bool = False  #: The answer says so; else it merely does not say the contrary.


@dataclass(slots=True)
class Obedience:
    """What is known of one endpoint."""

    obeys: bool = False
    objections: int = 0  #: In all: an endpoint that ignores the wish obeys now and then, by the luck of the draw.
    because: str | None = None  #: Why it is not asked so.
    again_at: datetime | None = None


def endpoint_of(rollout: Rollout) -> Endpoint:
    return rollout.agent, rollout.incarnation


class Obedient:
    """Which endpoints serve the version that a call asks for."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._known: dict[Endpoint, Obedience] = {}

    def includes(self, endpoint: Endpoint) -> bool:
        return endpoint in self._known and self._known[endpoint].obeys

    def is_due(self, endpoint: Endpoint) -> bool:
        """Whether to find out: nobody did yet, or long enough ago."""
        known = self._known.get(endpoint)
        if known is None:
            return True
        return not known.obeys and known.again_at is not None and known.again_at <= self._now()

    def learn(self, endpoint: Endpoint, objection: Objection | None) -> bool:
        """Remember whether the endpoint obeyed; return whether that it did not is worth a note.

        An endpoint that never says which version served is none, as long as it never did.
        """
        known = self._known.setdefault(endpoint, Obedience())
        has_obeyed, known.obeys = known.obeys, objection is None
        known.objections += objection is not None
        known.again_at = None if objection is None else self._now() + PAUSES.pause(known.objections)
        because = objection.because if objection else None
        is_news = has_obeyed is not known.obeys or known.because != because
        known.because = because
        if is_news:
            log.info("probe.override", agent=endpoint[0], obeys=known.obeys, because=because)
        return is_news and objection is not None and (objection.is_told or has_obeyed)


def objection_of(answer: Answer, version: str) -> Objection | None:
    """Return why ``answer`` is not surely that of ``version``, in a session that is known; None when it is."""
    serving = answer.serving
    if answer.status >= 300 and serving.resolved is None and not serving.is_fallback:
        return Objection(f"HTTP {answer.status} does not say which version served")
    because = serving.objection(version) or (None if answer.session else NO_SESSION)
    is_told = bool(serving.is_fallback) or serving.resolved is not None
    return Objection(because, is_told) if because else None
