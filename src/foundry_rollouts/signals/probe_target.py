"""What is under probe: one rollout, and each version's side of its pairs, with the session it is asked in."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import ProbeConfig
from foundry_rollouts.ports import Answer
from foundry_rollouts.signals.limits import CircuitBreaker, cloud_breaker
from foundry_rollouts.signals.samples import SampleBuffer

#: A new sandbox is met from time to time; every call in one would only tell of that one.
CALLS_PER_SESSION = 20
#: How long a call may take when the prompt does not say.
CALL_LIMIT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class ProbeTimings:
    """How long the probe waits for what it asks."""

    call_limit: timedelta = CALL_LIMIT
    self_test_limit: timedelta = timedelta(seconds=10)  #: No call counts before: a canary that hangs is soon judged.
    network_grace: timedelta = timedelta(seconds=5)  #: What the network may take beyond a prompt's own limit.
    opening_limit: timedelta = timedelta(minutes=5)  #: Longer than any call: the session's sandbox may be cold.


DEFAULT_TIMINGS = ProbeTimings()


@dataclass(slots=True)
class ProbeTarget:
    """One version's side of the pairs: its open session and how often it was asked."""

    version: str
    session: str | None = None
    met: str = ""  #: The version that the session is bound to, by the cloud's own word.
    mistake: str | None = None  #: Of the last call: another version answered it, or may have.
    is_by_number: bool = False  #: The next session is opened by the version's number, whatever the endpoint obeys.
    calls: int = 0
    opened: int = 0
    cold_since: datetime | None = None
    left: list[str] = field(default_factory=list)  #: Sessions to give back, the present one included.

    @property
    def is_spent(self) -> bool:
        return self.session is None or self.calls >= CALLS_PER_SESSION

    def note(self, answer: Answer) -> None:
        """Take note of who answered; what an answer does not say leaves the cloud's word on the session."""
        self.met = answer.version or self.met
        asked = f"version {self.version} was asked, in a session of its own, and"
        if self.met != self.version:
            self.mistake = f"{asked} version {self.met} answered"
        elif answer.serving.is_fallback:
            self.mistake = f"{asked} the service fell back"


@dataclass(slots=True)
class Watch:
    """One rollout under probe."""

    rollout: Rollout
    plan: ProbeConfig
    tallies: SampleBuffer
    arms: tuple[ProbeTarget, ...]
    nonce: str
    breaker: CircuitBreaker = field(default_factory=cloud_breaker)
    task: asyncio.Task[None] | None = field(default=None)
