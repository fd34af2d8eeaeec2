"""What callers report of their calls (``POST /api/v1/outcomes``), as the memory keeps it.

A call belongs to the window in which it began, whenever it is reported; what began before the present step is left
out, and so are sessions that are older than the rollout, on both versions. Calls of one session are one unit in a
window. After a restart no session of the step has failed yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from foundry_rollouts.core.model.measurement import Measurement, Sample, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Outcome, Reports
from foundry_rollouts.ports.outcomes import is_warming
from foundry_rollouts.signals.samples import Begun, StepCounter
from foundry_rollouts.signals.units import Seen, StepMemory

#: A report may be written down so long after it was received.
LATE = timedelta(seconds=15)


class ReportsKept(Protocol):
    """Where reports lie."""

    async def outcomes(self, which: Reports) -> Sequence[Outcome]: ...

    async def old_sessions(self, agent: str, sessions: Sequence[str], since: datetime) -> Sequence[str]: ...


@dataclass(slots=True)
class Read:
    """What was read of one rollout: each outcome with the end of the window that counted it."""

    counted: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    counter: StepCounter = field(default_factory=lambda: StepCounter(("outcomes",)))
    sessions: StepMemory[str, bool] = field(default_factory=StepMemory)  #: Those that were counted as new ones.

    def begin(self, rollout: Rollout, window: Window) -> None:
        is_new_step, is_recorded = self.counter.begin(rollout, window)
        self.sessions.begin(is_new_step=is_new_step, is_recorded=is_recorded)

    def is_counted(self, outcome: Outcome, window: Window) -> bool:
        """Whether an earlier window counted ``outcome``; one whose tick was never recorded does not count."""
        known = self.counted.get(outcome.id)
        return known is not None and known[1] <= window.start

    def note(self, outcomes: Sequence[Outcome], window: Window) -> None:
        for outcome in outcomes:
            self.counted[outcome.id] = (outcome.received_at, window.end)
        oldest = window.start - LATE
        self.counted = {id_: known for id_, known in self.counted.items() if known[0] >= oldest}


class OutcomeSource:
    """Counts the outcomes that were received since it was last asked."""

    name = "outcomes"

    def __init__(self, kept: ReportsKept) -> None:
        self._kept = kept
        self._read: dict[str, Read] = {}

    async def measure(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return what was reported in ``window``."""
        if rollout.policy.sources.outcomes is None or rollout.stable is None or rollout.started_at is None:
            return ()
        is_first = rollout.id not in self._read
        read = self._read.setdefault(rollout.id, Read())
        read.begin(rollout, window)
        # An earlier process of ours may have counted what came before the window; this one knows what it counted.
        begin = window.start if is_first else window.start - LATE
        which = Reports(rollout.agent, begin, window.end, rollout.started_at)
        try:
            received = await self._kept.outcomes(which)
            new = [outcome for outcome in received if not read.is_counted(outcome, window)]
            begun = await self._begun(rollout, read, new)
        except StoreError as error:
            return (Measurement(self.name, window, trouble=str(error)),)
        read.note(new, window)
        seen = [_seen(each) for each in new if not is_warming(each.cause, each.at, rollout.started_at)]
        return read.counter.measured(rollout, window, seen, begun)

    async def _begun(self, rollout: Rollout, read: Read, new: Sequence[Outcome]) -> list[Begun]:
        """Return the sessions that began at this step, by their first calls.

        A call that names no session tells nothing of the split: it may be of a conversation that began before.
        """
        since = read.counter.windows.routed_since
        first = {outcome.session: outcome for outcome in sorted(new, key=_began_at, reverse=True) if outcome.session}
        wanted = sorted(session for session in first if session not in read.sessions)
        old = set(await self._kept.old_sessions(rollout.agent, wanted, since) if wanted and since else ())
        begun: list[Outcome] = []
        for session in wanted:
            read.sessions.note(session, value=True)
            if session not in old:
                begun.append(first[session])
        return [Begun(each.received_at, self.name, each.version, each.at) for each in begun]

    async def release(self, rollout: str) -> None:
        """Forget what was read."""
        self._read.pop(rollout, None)

    async def close(self) -> None:
        self._read.clear()


def _began_at(outcome: Outcome) -> datetime:
    return outcome.at


def _seen(outcome: Outcome) -> Seen:
    sample = Sample(cause=outcome.cause, latency=outcome.latency, has_log_error=outcome.has_log_error)
    began_at = min(outcome.at, outcome.received_at)  # A caller's clock may run ahead.
    return Seen(outcome.received_at, "outcomes", outcome.version, sample, began_at, outcome.session)
