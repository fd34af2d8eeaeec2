"""The rules of the judge that the world made necessary, each of which can be left out to see what it is good for."""

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta

from foundry_rollouts.core.judging.constants import WAITING_INTERVALS
from foundry_rollouts.core.model.policy import CALL_LIMIT, Margin

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Laws:
    """The numbers are those of section 10 of the page on the statistics (``docs/benchmarks.md`` shows each)."""

    waits_at_most: int | None = WAITING_INTERVALS  #: 10.1: intervals that wait for a batch; None: all of them.
    restarts_ceiling: bool = True  #: 10.2: at each weight; and where nothing compares it is no harm.
    bakes: bool = True  #: 10.3: 100 is a bake with a way back, not a proof against stable's past.
    holds_in_trouble: bool = True  #: 10.4
    settle: float = CALL_LIMIT.total_seconds()  #: 10.7: seconds until all calls of an interval are known.
    knows_starts: bool = True  #: 10.7: a call belongs to the interval in which it began, not to that of its end.
    multiplies: bool = True  #: 10.8: safety multiplies over users and probe; else it is averaged.
    forgets: bool = True  #: 10.10: what is known from before fades.
    warm_up: float = MINUTE  #: 10.11: seconds.
    cluster: float | None = 1.0  #: 10.6: of users' calls; None: learnt from stable.


#: As it was before the rules of section 10.
NONE = Laws(
    waits_at_most=None,
    restarts_ceiling=False,
    bakes=False,
    holds_in_trouble=False,
    settle=0.0,
    knows_starts=False,
    multiplies=False,
    forgets=False,
    warm_up=0.0,
)


@dataclass(frozen=True, slots=True)
class Step:
    """A weight, how long it bakes at least, and by when it must be proved; in seconds."""

    weight: float
    min: float = 0.0
    max: float = math.inf


STANDARD = (Step(10, MINUTE, HOUR), Step(50, 5 * MINUTE, HOUR), Step(100, 30 * MINUTE))


@dataclass(frozen=True, slots=True)
class Plan:
    """A policy, by default the preset ``standard``, with one source of users and the probe as the error-rate gate."""

    steps: tuple[Step, ...] = STANDARD
    tolerate: Margin = Margin(1.2)
    bad: Margin = Margin(2.0, 0.02)
    ceiling: float | None = 0.2
    false_rollback: float = 0.01
    missed_bad: float = 0.05
    deadline: float = 6 * HOUR
    tick: float = 10.0
    probe_every: float | None = 5.0  #: One pair of calls so often; None: no probe.
    goes_on_if_not_gross: bool = False  #: Once the ``max`` of a step is over.
    blast_radius: float | None = None  #: Of automatic steps; None: the steps are taken in turn.
    laws: Laws = field(default_factory=Laws)

    @property
    def pairs(self) -> int:
        """Pairs of the probe's calls in one tick."""
        return round(self.tick / self.probe_every) if self.probe_every else 0

    def under(self, laws: Laws) -> "Plan":
        return replace(self, laws=laws)

    def settle(self, step: Step) -> float:
        """Return how long after an interval all of its calls are known at ``step``."""
        is_default = self.blast_radius is None and self.laws.settle == CALL_LIMIT.total_seconds()
        return min(self.laws.settle, step.min) if is_default else self.laws.settle


def seconds(span: timedelta | None) -> float:
    """Return ``span`` in seconds; endless where there is none."""
    return math.inf if span is None else span.total_seconds()
