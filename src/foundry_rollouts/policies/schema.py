"""The policy file: every key, what it means, and what it is when it is left out.

These models are the format and nothing else: editors complete from the JSON schema they export, ``build.py``
turns them into the core's policy and refuses what fits the format but makes no sense. ``None`` means that the key was
left out; a key without a value is refused (``report.py``), for nobody can tell what it means.
"""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    StringConstraints,
    Tag,
    model_validator,
)

from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.new_versions import NewVersions
from foundry_rollouts.core.model.policy import (
    Margin,
    OnAdoption,
    OnDrift,
    OnFailure,
    OnNewVersion,
    OnNoEvidence,
    SessionsOnRollback,
    Trigger,
)
from foundry_rollouts.policies.presets import PresetName, expanded
from foundry_rollouts.policies.source_entries import STRICT, SourceName, SourcesEntry, ValueName
from foundry_rollouts.policies.units import Duration, DurationOrOff, MarginText, Percent, PositiveDuration, Times

NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
GLOB_PATTERN = r"^[A-Za-z0-9._*?!\[\]-]+$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Glob = Annotated[str, StringConstraints(pattern=GLOB_PATTERN)]


class WeightEntry(BaseModel):
    """A share of the traffic, how long it bakes at least, and by when it must be proved."""

    model_config = STRICT

    weight: StrictInt = Field(ge=1, le=100, description="Percent of new sessions that meet the canary.")
    min: Duration = Field(
        default=timedelta(0),
        description="The step never takes less time than this.",
        json_schema_extra={"default": "0s"},
    )
    max: PositiveDuration | None = Field(
        default=None, description="Without proof by then, on-no-evidence decides. Left out: no limit."
    )


class Nothing(BaseModel):
    """An empty mapping, written {}."""

    model_config = STRICT


class ApprovalEntry(BaseModel):
    """A wait for a person, at the weight reached so far."""

    model_config = STRICT

    approval: Nothing = Field(description="Write {}. The rollout goes on after `foundry-rollouts rollout approve`.")


def _kind_of_step(entry: Any) -> str:
    return "<approval>" if isinstance(entry, dict) and "approval" in entry else "<weight>"


StepEntry = Annotated[
    Annotated[WeightEntry, Tag("<weight>")] | Annotated[ApprovalEntry, Tag("<approval>")],
    Discriminator(_kind_of_step),
]


class AutoEntry(BaseModel):
    """Weights from 1 to 50 that rise as the evidence grows, then 100."""

    model_config = STRICT

    blast_radius: float = Field(
        default=20, ge=1, le=1_000_000, description="Failures that one look may miss: it bounds each weight."
    )
    soak: Duration = Field(
        default=timedelta(minutes=5),
        description="At least so long at 50, before all traffic.",
        json_schema_extra={"default": "5m"},
    )
    bake: Duration = Field(
        default=timedelta(0), description="At least so long at 100.", json_schema_extra={"default": "0s"}
    )
    max: PositiveDuration | None = Field(
        default=None,
        description="Without proof by then at a weight below 100, on-no-evidence decides. Left out: no limit.",
    )


class AutoStepsEntry(BaseModel):
    """Steps that the evidence chooses."""

    model_config = STRICT

    auto: AutoEntry = Field(description="Write {} for the defaults.")


StepsEntry = Annotated[
    Annotated[list[StepEntry], Field(min_length=1), Tag("<list>")] | Annotated[AutoStepsEntry, Tag("<auto>")],
    Discriminator(lambda steps: "<auto>" if isinstance(steps, dict | AutoStepsEntry) else "<list>"),
]


class JudgeEntry(BaseModel):
    """How sure the judge must be, and of what."""

    model_config = STRICT

    false_rollback: Percent = Field(
        default=0.01,
        description="Of releases within tolerance, how many may ever be rolled back. Less than 50%.",
        json_schema_extra={"default": "1%"},
    )
    missed_bad: Percent = Field(
        default=0.05,
        description="Of bad releases, how many may pass a step as proved. Less than 50%.",
        json_schema_extra={"default": "5%"},
    )
    tolerate: MarginText = Field(
        default=Margin(1.2),
        description="How much worse than stable is not worth a rollback.",
        json_schema_extra={"default": "1.2x"},
    )
    bad: MarginText = Field(
        default=Margin(1.5, 0.005),
        description="Advancing means: proved better than this.",
        json_schema_extra={"default": "1.5x + 0.5pp"},
    )


Asked = Annotated[
    Annotated[list[SourceName], Field(min_length=1), Tag("<list>")]
    | Annotated[dict[SourceName, Annotated[float, Field(gt=0, le=1000)]], Field(min_length=1), Tag("<weights>")],
    Discriminator(lambda asked: "<weights>" if isinstance(asked, dict) else "<list>"),
]


class ErrorsEntry(BaseModel):
    """What is judged among the failures of calls."""

    model_config = STRICT

    ignore: list[ErrorKind] = Field(
        default_factory=list,
        description="Kinds of failures that are not judged. client-error: calls refused with 4xx as the caller's "
        "mistake, which count beside the errors when this is left out (401, 403 and 429 never count).",
        examples=[["client-error"]],
    )


class GateBody(BaseModel):
    """What a gate asks."""

    model_config = STRICT

    sources: Asked | None = Field(
        default=None,
        description="Who is asked; with numbers, as {logs: 3, probe: 1}, what each of them counts. "
        "Left out: every source in use (latency: probe; log-errors: logs).",
        examples=[["logs", "probe"], {"logs": 3, "probe": 1}],
    )
    max: Percent | None = Field(
        default=None, description="A ceiling in absolute terms: a canary above it gets no tolerance."
    )
    on_failure: OnFailure | None = Field(default=None, description="Left out: what the policy says.")
    critical: bool = Field(default=False, description="Four times its part in the evidence of harm: it decides sooner.")
    dry_run: bool = Field(default=False, description="Judged and shown, but it decides nothing.")


class ValueBody(BaseModel):
    """A number that must lie within bounds, so many windows in a row."""

    model_config = STRICT

    name: ValueName = Field(description="Under values of the source.", examples=["queue-depth"])
    sources: list[SourceName] | None = Field(
        default=None, min_length=1, description="Who is asked. Left out: every source that tells the value."
    )
    min: float | None = None
    max: float | None = None
    at_least: Times | None = Field(default=None, description="At least so many times stable's number.")
    at_most: Times | None = Field(default=None, description="At most so many times stable's number.")
    windows: StrictInt = Field(default=3, ge=1, le=100, description="So many windows in a row decide.")
    on_failure: OnFailure | None = Field(default=None, description="Left out: what the policy says.")
    dry_run: bool = Field(default=False, description="Judged and shown, but it decides nothing.")

    @property
    def bounds(self) -> Bounds:
        """Where the number must lie. Raises UsageError for bounds that make no sense."""
        return Bounds(self.name, self.min, self.max, self.at_least, self.at_most, self.windows)


class GateEntry(BaseModel):
    """One thing that must not get worse."""

    model_config = ConfigDict(**STRICT, json_schema_extra={"minProperties": 1, "maxProperties": 1})

    error_rate: GateBody | None = Field(default=None, description="Calls that failed.")
    latency: GateBody | None = Field(default=None, description="Calls that were slow.")
    log_errors: GateBody | None = Field(default=None, description="Calls that wrote an error to the log.")
    value: ValueBody | None = Field(default=None, description="Any number; several gates may be values.")


def _steps_or_preset(schema: dict[str, Any]) -> None:
    """Let editors ask for steps only where no preset brings them."""
    schema["required"] = [key for key in schema["required"] if key != "steps"]
    schema |= {"if": {"required": ["preset"]}, "else": {"required": ["steps"]}}


class PolicyEntry(BaseModel):
    """A rollout policy for hosted agents: the steps, what is watched, and what harm leads to."""

    model_config = ConfigDict(**STRICT, title="foundry-rollouts policy", json_schema_extra=_steps_or_preset)

    name: Name = Field(description="How history and metrics call this policy.", examples=["support-agent"])
    agents: list[Glob] = Field(
        min_length=1,
        description="Globs on agent names. The most exact match wins; a tie is an error.",
        examples=[["support-*"]],
    )
    preset: PresetName | None = Field(
        default=None,
        description="Steps, gates and limits by one word; what stands here itself outweighs it. "
        "`policy show` writes it out.",
    )
    steps: StepsEntry = Field(
        description="Weights that rise to 100, with approvals between them where a person is to decide; or `auto`.",
        examples=[[{"weight": 10}, {"approval": {}}, {"weight": 100}], {"auto": {"blast-radius": 20}}],
    )
    trigger: Trigger = Field(default=Trigger.NEW_VERSION, description="What starts a rollout.")
    deadline: PositiveDuration = Field(
        default=timedelta(hours=6),
        description="For the whole rollout.",
        json_schema_extra={"default": "6h"},
    )
    judge: JudgeEntry = Field(default_factory=JudgeEntry, description="How sure the judge must be, and of what.")
    sources: SourcesEntry | None = Field(
        default=None,
        description="Where measurements come from. Left out: probe and logs, with their defaults.",
    )
    gates: list[GateEntry] | None = Field(
        default=None, min_length=1, description="Left out: error-rate, asked of every source in use."
    )
    errors: ErrorsEntry = Field(default_factory=ErrorsEntry, description="What is judged among failures of calls.")
    on_failure: OnFailure = Field(default=OnFailure.ROLLBACK, description="What harm leads to.")
    on_no_evidence: OnNoEvidence = Field(
        default=OnNoEvidence.HOLD,
        description="What a step leads to that is not proved by its max. Never a blind advance.",
    )
    on_drift: OnDrift = Field(default=OnDrift.PAUSE, description="What a routing leads to that somebody else changed.")
    on_adoption: OnAdoption = Field(
        default=OnAdoption.KEEP,
        description="What weights between several versions lead to that are found at first sight.",
    )
    on_new_version: OnNewVersion = Field(
        default=OnNewVersion.QUEUE, description="What a version leads to that appears while another is on trial."
    )
    new_versions: NewVersions = Field(
        default=NewVersions.NEWEST,
        description="Which of several versions get a trial that appear between two looks; all of them are reported. "
        "newest: the newest whose build does not fail. each: one after the other.",
    )
    sessions_on_rollback: SessionsOnRollback = Field(
        default=SessionsOnRollback.KEEP,
        description="What happens to live sessions of a canary that is rolled back.",
    )

    ready_within: DurationOrOff = Field(
        default=timedelta(minutes=3),
        description="A sandbox of the canary is opened and asked before users meet it, and at every step. None ready "
        "within this time, while stable's are, ends the rollout. `off`: nobody looks.",
        json_schema_extra={"default": "3m"},
    )

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, content: Any) -> Any:
        return expanded(content)
