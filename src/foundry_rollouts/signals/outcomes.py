"""What callers report of their calls (``POST /api/v1/outcomes``), as the memory keeps it.

A call belongs to the step in which it began. Sessions that are older than the rollout are left out, on both versions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from foundry_rollouts.core.model.measurement import Counts, Measurement, Sample, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Outcome, Reports
from foundry_rollouts.ports.outcomes import is_warming

#: A report may be written down so long after it was received.
LATE = timedelta(seconds=15)


class ReportsKept(Protocol):
    """Where reports lie."""

    async def outcomes(self, which: Reports) -> Sequence[Outcome]: ...


@dataclass(slots=True)
class Read:
    """What was read of one rollout: each outcome with the end of the window that counted it."""

    counted: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

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
        # An earlier process of ours may have counted what came before the window; this one knows what it counted.
        begin = window.start if is_first else window.start - LATE
        which = Reports(rollout.agent, begin, window.end, rollout.started_at)
        try:
            received = await self._kept.outcomes(which)
        except StoreError as error:
            return (Measurement(self.name, window, trouble=str(error)),)
        new = [outcome for outcome in received if not read.is_counted(outcome, window)]
        read.note(new, window)
        counts = {version: Counts() for version in (rollout.stable, rollout.canary)}
        for outcome in new:
            if outcome.version in counts and _belongs(outcome, rollout):
                counts[outcome.version] += _sample(outcome).as_counts()
        return (Measurement(self.name, window, stable=counts[rollout.stable], canary=counts[rollout.canary]),)

    async def release(self, rollout: str) -> None:
        """Forget what was read."""
        self._read.pop(rollout, None)

    async def close(self) -> None:
        self._read.clear()


def _belongs(outcome: Outcome, rollout: Rollout) -> bool:
    """Whether a call began in the present step, and did not fail because its version was warming up."""
    if rollout.step_started_at is None or rollout.started_at is None or outcome.at < rollout.step_started_at:
        return False
    return not is_warming(outcome.cause, outcome.at, rollout.started_at)


def _sample(outcome: Outcome) -> Sample:
    return Sample(cause=outcome.cause, latency=outcome.latency, has_log_error=outcome.has_log_error)
