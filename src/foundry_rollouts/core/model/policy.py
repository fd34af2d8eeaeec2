"""What an operator wants of a rollout: its steps, its gates, its limits.

A policy is refused here when it makes no sense, whoever built it; how it is written in a file is the business
of ``policies/``.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise

from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.calendar import Calendar
from foundry_rollouts.core.model.effects import Mode, OnAdoption, OnDrift, OnSplit, SessionsOnRollback
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.globs import exactness_for
from foundry_rollouts.core.model.group import Group
from foundry_rollouts.core.model.new_versions import NewVersions, OnNewVersion
from foundry_rollouts.core.model.sources import CONFIGS, Detail, Sources
from foundry_rollouts.errors import UsageError

MINUTE = timedelta(minutes=1)
#: The longest call, where the policy says nothing of it.
CALL_LIMIT = MINUTE
#: The weights of automatic steps on the way to 50, where the canary is compared best.
CLIMB, SOAK = (1, 2, 5, 10, 20), 50


class Trigger(StrEnum):
    """What starts a rollout."""

    NEW_VERSION = "new-version"  #: Discovery sees a version that is newer than the stable one.
    MANUAL = "manual"  #: A person or a pipeline asks.


class OnFailure(StrEnum):
    """What happens on harm."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    PAUSE = "pause"
    DISABLE = "disable"


class OnNoEvidence(StrEnum):
    """What a step without proof leads to once its ``max`` is over."""

    HOLD = "hold"
    PAUSE = "pause"
    ROLLBACK = "rollback"
    ADVANCE_IF_NOT_GROSS = "advance-if-not-gross"  #: Only when less than 16 points worse is proved.


class GateKind(StrEnum):
    """What a gate measures."""

    ERROR_RATE = "error-rate"
    LATENCY = "latency"
    LOG_ERRORS = "log-errors"
    VALUE = "value"


#: Sources that can report what a gate measures; any source reports which calls failed.
CAPABLE_SOURCES = {
    GateKind(detail): {config.name for config in CONFIGS if detail in config.can_tell} for detail in Detail
}


@dataclass(frozen=True, slots=True)
class Margin:
    """The line ``ratio x stable + points``; ``points`` is a fraction, so half a percentage point is 0.005."""

    ratio: float
    points: float = 0.0

    def __post_init__(self) -> None:
        if not (1.0 <= self.ratio <= 1000.0 and 0.0 <= self.points < 1.0):
            raise UsageError("a margin is at least 1x and less than + 100pp, for example '1.2x' or '1.5x + 0.5pp'")

    def of(self, rate: float) -> float:
        """Return the rate at which the line stands over a stable version that fails at ``rate``."""
        return self.ratio * rate + self.points

    def __str__(self) -> str:
        points = f" + {self.points * 100:g}pp" if self.points else ""
        return f"{self.ratio:g}x{points}"


@dataclass(frozen=True, slots=True)
class WeightStep:
    """A weight, the least time it bakes, and the time by which it must be proved (None: no limit)."""

    weight: int
    min: timedelta = timedelta(0)
    max: timedelta | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= 100:
            raise UsageError(f"weight {self.weight}: a weight is a whole number from 1 to 100")
        if self.max is not None and self.max < self.min:
            raise UsageError("max is shorter than min: a step must have time to bake")


Step = WeightStep | ApprovalStep


@dataclass(frozen=True, slots=True)
class Automatic:
    """Weights that rise as the evidence grows (``core/deciding/automatic.py``) instead of a list of steps."""

    blast_radius: float = 20.0  #: Failures that one tick may miss.
    soak: timedelta = 5 * MINUTE  #: At least so long at 50, after which all traffic comes.
    bake: timedelta = timedelta(0)  #: The least time at 100.
    max: timedelta | None = None  #: The time by which each weight below 100 must be proved.

    def __post_init__(self) -> None:
        if not 1 <= self.blast_radius <= 1_000_000:
            raise UsageError(f"a blast radius of {self.blast_radius:g} failures: write at least 1, at most 1000000")
        if self.max is not None and self.max < self.soak:
            raise UsageError("max is shorter than soak: a weight must have time to bake")

    @property
    def steps(self) -> tuple[WeightStep, ...]:
        """The steps among which the evidence chooses: it may skip some, and never takes one twice."""
        soaking = WeightStep(SOAK, self.soak, self.max)
        return (*(WeightStep(weight, max=self.max) for weight in CLIMB), soaking, WeightStep(100, self.bake))


@dataclass(frozen=True, slots=True)
class Judging:
    """The judge's confidence and limits."""

    false_rollback: float = 0.01  #: Of releases within tolerance, how many may ever be rolled back.
    missed_bad: float = 0.05  #: Of bad releases, how many may pass a step as proved.
    tolerate: Margin = Margin(1.2)
    bad: Margin = Margin(2.0, 0.02)

    def __post_init__(self) -> None:
        if not (0 < self.false_rollback < 0.5 and 0 < self.missed_bad < 0.5):
            raise UsageError("false-rollback and missed-bad lie between 0% and 50%")
        if self.bad.ratio < self.tolerate.ratio or self.bad.points < self.tolerate.points:
            raise UsageError("bad lies below tolerate: a release cannot be both within tolerance and bad")


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must not get worse, seen by ``sources``.

    ``max`` is a ceiling in absolute terms: a canary above it gets no tolerance. A critical gate has a larger part in
    the evidence of harm; a dry-run gate is judged and shown, and decides nothing.
    """

    kind: GateKind
    sources: tuple[str, ...]
    max: float | None = None
    on_failure: OnFailure | None = None  #: None: what the policy says.
    weights: tuple[float, ...] = ()  #: What each of the sources counts; empty: all the same.
    is_critical: bool = False
    is_dry_run: bool = False
    bounds: Bounds | None = None  #: Of a value, and of nothing else.

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.bounds.name}" if self.bounds else self.kind.value

    def share_of(self, source: str) -> float:
        """Return the part of ``source`` in the gate's evidence; all parts sum to 1."""
        if not self.weights:
            return 1.0 / len(self.sources)
        return self.weights[self.sources.index(source)] / sum(self.weights)


@dataclass(frozen=True, slots=True)
class Policy:
    """The plan of a rollout."""

    name: str
    agents: tuple[str, ...]
    steps: tuple[Step, ...]
    trigger: Trigger = Trigger.NEW_VERSION
    deadline: timedelta = timedelta(hours=6)
    judge: Judging = field(default_factory=Judging)
    sources: Sources = field(default_factory=Sources)
    gates: tuple[Gate, ...] = ()
    on_failure: OnFailure = OnFailure.ROLLBACK
    on_no_evidence: OnNoEvidence = OnNoEvidence.HOLD
    on_drift: OnDrift = OnDrift.PAUSE
    on_adoption: OnAdoption = OnAdoption.KEEP
    on_new_version: OnNewVersion = OnNewVersion.QUEUE
    sessions_on_rollback: SessionsOnRollback = SessionsOnRollback.KEEP
    ready_within: timedelta | None = 3 * MINUTE  #: By when a sandbox of the canary is ready; None: no check.
    on_split: OnSplit = OnSplit.HOLD
    ignored_errors: tuple[ErrorKind, ...] = ()  #: Kinds of failures that are not judged.
    call_limit: timedelta | None = None  #: The longest call; None: a minute, but no longer than a step's own ``min``.
    warm_up: timedelta = timedelta(0)  #: So long after each raise the canary may fail more, as its sandboxes are new.
    new_versions: NewVersions = NewVersions.NEWEST
    mode: Mode = Mode.ACT
    notify: tuple[str, ...] = ()  #: Targets of notifications by name; empty: each by its own rules.
    calendar: Calendar = field(default_factory=Calendar)  #: When rollouts may begin and rise.
    labels: tuple[str, ...] = ()  #: Of its agents: limits and waves name them.
    after: tuple[str, ...] = ()  #: Agents whose rollouts come before those of its agents.
    group: Group | None = None  #: The agents that move in lockstep; None: each moves by itself.
    automatic: Automatic | None = None  #: What ``steps`` are made from; None: they are a list of their own.

    def __post_init__(self) -> None:
        if self.automatic and self.steps != self.automatic.steps:
            raise UsageError("automatic steps are made from their settings: leave the list out")
        _refuse_bad_steps(self.steps)
        _refuse_bad_gates(self.gates, self.sources)
        if not self.agents:
            raise UsageError("agents is empty: name at least one agent, for example 'support-*'")
        if self.deadline <= timedelta(0):
            raise UsageError("deadline must be longer than nothing")
        if self.call_limit is not None and not timedelta(0) <= self.call_limit < self.deadline:
            raise UsageError("call-limit lies between nothing and the deadline")
        if not timedelta(0) <= self.warm_up < self.deadline:
            raise UsageError("warm-up is shorter than the deadline, and 0s where versions need none")

    @property
    def observes(self) -> bool:
        """Whether nothing is moved under it."""
        return self.mode is Mode.OBSERVE

    def weight_at(self, step: int) -> int:
        """Return the canary's weight at step number ``step``; 0 before the first."""
        weights = [s.weight for s in self.steps[:step] if isinstance(s, WeightStep)]
        return weights[-1] if weights else 0

    @property
    def weights(self) -> tuple[int | str, ...]:
        """The plan without its times: agents of a group share it."""
        return tuple(step.weight if isinstance(step, WeightStep) else "approval" for step in self.steps)

    @property
    def last_weight_step(self) -> int:
        """The number of the step at which the canary gets all traffic."""
        return max(number for number, step in enumerate(self.steps, start=1) if isinstance(step, WeightStep))

    def matches(self, agent: str) -> int | None:
        """Return how exactly this policy names ``agent`` (more is more exact), or None when it does not."""
        scores = [exactness_for(glob, agent) for glob in self.agents]
        return max((score for score in scores if score is not None), default=None)


def _refuse_bad_steps(steps: tuple[Step, ...]) -> None:
    weights = [step.weight for step in steps if isinstance(step, WeightStep)]
    if not weights:
        raise UsageError("steps is empty: name at least one weight, for example {weight: 10, min: 1m}")
    if any(later <= earlier for earlier, later in pairwise(weights)):
        raise UsageError(f"weights {', '.join(map(str, weights))}: each weight must be greater than the one before")
    if weights[-1] != 100:
        raise UsageError(f"the last weight is {weights[-1]}: a rollout ends at 100, add {{weight: 100}}")


def _refuse_bad_gates(gates: tuple[Gate, ...], sources: Sources) -> None:
    if not gates:
        raise UsageError("gates is empty: without a gate nothing could ever stop a bad version")
    for gate in gates:
        missing = [name for name in gate.sources if name not in sources.names]
        if missing or not gate.sources:
            known = ", ".join(sources.names) or "none"
            raise UsageError(f"gate {gate.name} asks {missing or 'no source'}; sources in use: {known}")
        if gate.weights and (len(gate.weights) != len(gate.sources) or min(gate.weights) <= 0):
            raise UsageError(f"gate {gate.name}: give each of its sources a weight, more than 0")
        if mute := set(gate.sources) - CAPABLE_SOURCES.get(gate.kind, set(gate.sources)):
            raise UsageError(f"gate {gate.name} asks {', '.join(sorted(mute))}, which cannot tell it")
        _refuse_bad_value(gate, sources)
    if all(gate.is_dry_run for gate in gates):
        raise UsageError("every gate is a dry run: nothing could ever stop a bad version")
    if len({gate.name for gate in gates}) != len(gates):
        raise UsageError("two gates of one kind: put their sources into one")


def _refuse_bad_value(gate: Gate, sources: Sources) -> None:
    if (gate.bounds is None) is (gate.kind is GateKind.VALUE):
        raise UsageError(f"gate {gate.name}: a value has bounds, and nothing else has")
    if (bounds := gate.bounds) is None:
        return
    for source in gate.sources:
        if bounds.name not in sources.values_of(source):
            raise UsageError(f"gate {gate.name}: {source} tells no value {bounds.name}; add it to its values")
