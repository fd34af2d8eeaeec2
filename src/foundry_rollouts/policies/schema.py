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
    Field,
    StringConstraints,
    model_validator,
)

from foundry_rollouts.core.model.effects import Mode, OnAdoption, OnDrift, OnSplit, SessionsOnRollback
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.new_versions import NewVersions, OnNewVersion
from foundry_rollouts.core.model.policy import Margin, OnFailure, OnNoEvidence, Trigger
from foundry_rollouts.policies.calendar_entries import FreezeEntry, WindowEntry
from foundry_rollouts.policies.gate_entries import GateEntry
from foundry_rollouts.policies.groups import GroupEntry
from foundry_rollouts.policies.limits import LABEL_PATTERN
from foundry_rollouts.policies.presets import PresetName, expanded
from foundry_rollouts.policies.source_entries import STRICT, SourcesEntry
from foundry_rollouts.policies.step_entries import StepsEntry
from foundry_rollouts.policies.units import (
    AgentName,
    Duration,
    DurationOrOff,
    MarginText,
    Name,
    Percent,
    PositiveDuration,
)

GLOB_PATTERN = r"^[A-Za-z0-9._*?!\[\]-]+(/[A-Za-z0-9._*?!\[\]-]+)?$"

Glob = Annotated[str, StringConstraints(pattern=GLOB_PATTERN)]
Label = Annotated[str, StringConstraints(pattern=LABEL_PATTERN)]


class JudgeEntry(BaseModel):
    """The judge's confidence and limits."""

    model_config = STRICT

    false_rollback: Percent = Field(
        default=0.01,
        description="The share of releases within tolerance that may ever be rolled back. Less than 50%.",
        json_schema_extra={"default": "1%"},
    )
    missed_bad: Percent = Field(
        default=0.05,
        description="The share of bad releases that may pass a step as proved. Less than 50%.",
        json_schema_extra={"default": "5%"},
    )
    tolerate: MarginText = Field(
        default=Margin(1.2),
        description="How much worse than stable is not worth a rollback.",
        json_schema_extra={"default": "1.2x"},
    )
    bad: MarginText = Field(
        default=Margin(2.0, 0.02),
        description="Advancing means: proved better than this.",
        json_schema_extra={"default": "2x + 2pp"},
    )


class ErrorsEntry(BaseModel):
    """What is judged among the failures of calls."""

    model_config = STRICT

    ignore: list[ErrorKind] = Field(
        default_factory=list,
        description="Kinds of failures that are not judged. client-error: calls refused with 4xx as the caller's "
        "mistake, which count beside the errors when this is left out (401, 403 and 429 never count). rate-limited: "
        "calls that failed because the agent's own model refused it for its rate or quota.",
        examples=[["client-error"], ["rate-limited"]],
    )


def _steps_or_preset(schema: dict[str, Any]) -> None:
    """Let editors ask for steps only where no preset brings them."""
    schema["required"] = [key for key in schema["required"] if key != "steps"]
    schema |= {"if": {"required": ["preset"]}, "else": {"required": ["steps"]}}


class PolicyEntry(BaseModel):
    """A rollout policy for hosted agents: the steps, what is watched, and what harm leads to."""

    model_config = ConfigDict(**STRICT, title="foundry-rollouts policy", json_schema_extra=_steps_or_preset)

    name: Name = Field(description="The policy's name in history and metrics.", examples=["support-agent"])
    agents: list[Glob] = Field(
        min_length=1,
        description="Globs on agent names. The most specific match wins; a tie is an error. Where several projects are "
        "watched, a glob may name the project as well: project/agent.",
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
    mode: Mode = Field(
        default=Mode.ACT,
        description="observe: everything is judged and nothing is moved; the history says what would have been done.",
    )
    windows: list[WindowEntry] = Field(
        default_factory=list, description="When rollouts may begin and rise. Default: always."
    )
    freeze: list[FreezeEntry] = Field(
        default_factory=list, description="When rollouts may neither begin nor rise. They may always go back."
    )
    group: GroupEntry | None = Field(
        default=None, description="Agents that move in lockstep and go back together. Default: each moves by itself."
    )
    trigger: Trigger = Field(default=Trigger.NEW_VERSION, description="What starts a rollout.")
    deadline: PositiveDuration = Field(
        default=timedelta(hours=6),
        description="For the whole rollout.",
        json_schema_extra={"default": "6h"},
    )
    call_limit: PositiveDuration | None = Field(
        default=None,
        description="The longest that a call takes: failures show that late, so no step rises sooner, and calls prove "
        "nothing before. Default: 60s, or a step's own min where that is shorter.",
        examples=["60s"],
    )
    warm_up: Duration = Field(
        default=timedelta(0),
        description="So long after each raise the canary may fail up to 25 points more: its sandboxes are new.",
        json_schema_extra={"default": "0s"},
    )
    judge: JudgeEntry = Field(default_factory=JudgeEntry, description="The judge's confidence and limits.")
    sources: SourcesEntry | None = Field(
        default=None,
        description="Where measurements come from. Default: probe and logs, with their defaults.",
    )
    gates: list[GateEntry] | None = Field(
        default=None, min_length=1, description="Default: error-rate, on every source in use."
    )
    errors: ErrorsEntry = Field(default_factory=ErrorsEntry, description="Which failures of calls are judged.")
    on_failure: OnFailure = Field(default=OnFailure.ROLLBACK, description="What happens on harm.")
    on_no_evidence: OnNoEvidence = Field(
        default=OnNoEvidence.HOLD,
        description="What happens when a step is not proved by its max. Never a blind advance.",
    )
    on_split: OnSplit = Field(
        default=OnSplit.HOLD, description="What happens when new sessions do not follow the weights."
    )
    on_drift: OnDrift = Field(
        default=OnDrift.PAUSE, description="What happens when the routing was changed from outside."
    )
    on_adoption: OnAdoption = Field(
        default=OnAdoption.KEEP,
        description="What happens to weights between several versions when an agent is first seen.",
    )
    on_new_version: OnNewVersion = Field(
        default=OnNewVersion.QUEUE, description="What happens when a version appears while another is on trial."
    )
    new_versions: NewVersions = Field(
        default=NewVersions.NEWEST,
        description="Which versions get a trial when several appear between two checks; all of them are reported. "
        "newest: the newest whose build does not fail. each: one after the other.",
    )
    sessions_on_rollback: SessionsOnRollback = Field(
        default=SessionsOnRollback.KEEP,
        description="What happens to live sessions of a canary that is rolled back.",
    )
    ready_within: DurationOrOff = Field(
        default=timedelta(minutes=3),
        description="A sandbox of the canary is opened and asked before users meet it, and at every step. None ready "
        "within this time, while stable's are, ends the rollout. `off`: no check.",
        json_schema_extra={"default": "3m"},
    )

    notify: list[Name] = Field(
        default_factory=list,
        description="The targets of notifications that hear of its rollouts, by name. Default: each by its own rules.",
        examples=[["on-call"]],
    )
    labels: list[Label] = Field(
        default_factory=list,
        description="Labels of its agents, which limits and waves name. Default: none.",
        examples=[["payments", "ring-0"]],
    )
    after: list[AgentName] = Field(
        default_factory=list,
        description="Agents that come first: no rollout begins while one of these has a rollout that has not ended, or "
        "whose last one ended badly and was not acknowledged. Names in full, or project/agent. Default: none.",
        examples=[["orders-agent"]],
    )

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, content: Any) -> Any:
        return expanded(content)
