"""How a policy writes its steps: weights, approvals between them, or those that the evidence chooses."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, StrictInt, StringConstraints, Tag

from foundry_rollouts.core.model.approval import MOST_APPROVALS, OnTimeout
from foundry_rollouts.policies.source_entries import STRICT
from foundry_rollouts.policies.units import Duration, PositiveDuration

Approvers = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class WeightEntry(BaseModel):
    """A share of the traffic, how long it bakes at least, and by when it must be proved."""

    model_config = STRICT

    weight: StrictInt = Field(ge=1, le=100, description="Percent of new sessions that go to the canary.")
    min: Duration | None = Field(default=None, description="The least time the step lasts. Default: call-limit.")
    max: PositiveDuration | None = Field(
        default=None, description="Without proof by then, on-no-evidence decides. Default: no limit."
    )


class ApprovalTerms(BaseModel):
    """Who approves, how many, and by when; {} is any one operator."""

    model_config = STRICT

    by: list[Approvers] = Field(
        default_factory=list,
        description="Roles (operator, admin), groups of the identity provider, or names; one of them must fit. "
        "Default: whoever may give commands.",
        examples=[["admin", "0f4b6a5e-9a4e-4a5f-8a53-3f3f0a4f2f11"]],
    )
    count: StrictInt = Field(default=1, ge=1, le=MOST_APPROVALS, description="So many different people.")
    not_author: bool = Field(default=False, description="Who asked for the rollout does not count.")
    timeout: PositiveDuration | None = Field(
        default=None, description="Without enough approvals by then, `then` decides. Default: no limit."
    )
    then: OnTimeout = Field(
        default=OnTimeout.HOLD,
        description="hold: it waits on. rollback. abort: as rollback, and what is queued behind waits for a person.",
    )


class ApprovalEntry(BaseModel):
    """A wait for people, at the weight reached so far."""

    model_config = STRICT

    approval: ApprovalTerms = Field(
        description="Write {} for one operator. The rollout continues after `foundry-rollouts rollout approve`."
    )


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
        default=20, ge=1, le=1_000_000, description="Failures that one tick may miss: it bounds each weight."
    )
    soak: Duration = Field(
        default=timedelta(minutes=5),
        description="The least time at 50, before all traffic.",
        json_schema_extra={"default": "5m"},
    )
    bake: Duration = Field(
        default=timedelta(0), description="The least time at 100.", json_schema_extra={"default": "0s"}
    )
    max: PositiveDuration | None = Field(
        default=None,
        description="Without proof by then, a weight below 50 goes on unless the canary may be 16 points worse; "
        "at 50, on-no-evidence decides. Default: 10m, or soak where that is longer.",
    )


class AutoStepsEntry(BaseModel):
    """Steps that the evidence chooses."""

    model_config = STRICT

    auto: AutoEntry = Field(description="Write {} for the defaults.")


StepsEntry = Annotated[
    Annotated[list[StepEntry], Field(min_length=1), Tag("<list>")] | Annotated[AutoStepsEntry, Tag("<auto>")],
    Discriminator(lambda steps: "<auto>" if isinstance(steps, dict | AutoStepsEntry) else "<list>"),
]
