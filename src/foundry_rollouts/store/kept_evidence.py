"""Evidence as this process wrote it last, so that a tick need not make sense of its document again.

It serves while the agent's lease is held without a break, and only where the rollout was measured last when it was
written: whatever another process wrote, and whatever was put back from a backup, is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import Lease, Record


@dataclass(slots=True)
class KeptEvidence:
    """The evidence of the current rollout of each agent that this process acts on."""

    _kept: dict[str, tuple[str, datetime, Evidence]] = field(default_factory=dict)

    def keep(self, record: Record) -> None:
        """Keep what was just written."""
        rollout = record.rollout
        if rollout is None:
            return
        if rollout.phase.is_final or rollout.measured_until is None or record.evidence is None:
            self.forget([rollout.agent])
        else:
            self._kept[rollout.agent] = rollout.id, rollout.measured_until, record.evidence

    def of(self, rollout: Rollout) -> Evidence | None:
        """Return the evidence of a rollout as it was just read; None where the document says it."""
        kept = self._kept.get(rollout.agent)
        return kept[2] if kept is not None and kept[:2] == (rollout.id, rollout.measured_until) else None

    def granted(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        """Return leases that were just granted: another process may have written meanwhile."""
        self.forget(lease.agent for lease in leases)
        return leases

    def forget(self, agents: Iterable[str]) -> None:
        """Read the evidence of those agents the next time."""
        for agent in agents:
            self._kept.pop(agent, None)
