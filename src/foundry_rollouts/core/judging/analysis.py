"""The verdict on what was measured, and why."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.policy import OnFailure


class Verdict(StrEnum):
    """What the evidence says; each kind of silence is its own verdict."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    SHARED_TROUBLE = "shared-trouble"  #: Stable fails more than before too: nothing that is seen now proves anything.
    SPLIT_IGNORED = "split-ignored"  #: New sessions do not follow the weights.
    INSUFFICIENT = "insufficient"  #: Something was seen, too little to prove either.
    NO_DATA = "no-data"  #: Nothing was seen at this step.
    STALE = "stale"  #: What was seen is too old.
    SOURCE_ERROR = "source-error"  #: The sources could not be read; that is our trouble, not the canary's.


@dataclass(frozen=True, slots=True)
class GateReading:
    """What one gate says: its verdict, the two rates it compared, and the line that the canary must not cross."""

    gate: str
    verdict: Verdict
    because: str
    canary_value: float | None = None  #: Share of canary samples that failed at this step; None: none seen.
    stable_value: float | None = None
    threshold: float | None = None  #: The tolerance line above stable's rate, or the ceiling where that is lower.
    harm_log: float = 0.0  #: The evidence of harm, and of safety, as natural logarithms.
    safe_log: float = 0.0
    at_most_worse: float | None = None
    missing_calls: int | None = None  #: About how many more canary samples would prove it.
    on_failure: OnFailure | None = None
    is_dry_run: bool = False  #: Shown only: it decides nothing.


@dataclass(frozen=True, slots=True)
class Analysis:
    """The verdict on one tick's measurements, the sentence that justifies it, and the evidence carried forward."""

    verdict: Verdict
    because: str
    evidence: Evidence
    gates: tuple[GateReading, ...] = ()
    waiting_for: str | None = None
    is_not_gross: bool = False  #: Proved less than 16 points worse, on every gate.
    on_failure: OnFailure | None = None  #: Set by the gate that failed, when it names its own.
    guarded: str | None = None  #: Why a canary with all traffic is to go back to a weight that compares.
    split: str | None = None  #: How new sessions differ from the weights, whatever the policy makes of it.
    suspicion: str | None = None  #: Why both versions may be in trouble: nothing goes up until that is clear.
    longest_call: timedelta = timedelta(0)  #: Before a step is as old, not all of its calls are known.
