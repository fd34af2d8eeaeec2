"""How a policy file names its gates, and what each of them asks."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictInt, Tag

from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.policy import OnFailure
from foundry_rollouts.policies.source_entries import STRICT, SourceName, ValueName
from foundry_rollouts.policies.units import Percent, Times

Asked = Annotated[
    Annotated[list[SourceName], Field(min_length=1), Tag("<list>")]
    | Annotated[dict[SourceName, Annotated[float, Field(gt=0, le=1000)]], Field(min_length=1), Tag("<weights>")],
    Discriminator(lambda asked: "<weights>" if isinstance(asked, dict) else "<list>"),
]


class GateBody(BaseModel):
    """What a gate asks."""

    model_config = STRICT

    sources: Asked | None = Field(
        default=None,
        description="Who is asked; with numbers, as {logs: 3, probe: 1}, what each of them counts. "
        "Left out: every source in use (latency: probe; log-errors: logs).",
        examples=[["logs", "probe"], {"logs": 3, "probe": 1}],
    )
    max: Percent | None = Field(default=None, description="An absolute ceiling: a canary above it gets no tolerance.")
    on_failure: OnFailure | None = Field(default=None, description="Default: the policy's.")
    critical: bool = Field(
        default=False, description="Four times its share of the evidence of harm: it decides sooner."
    )
    dry_run: bool = Field(default=False, description="Judged and shown, but it decides nothing.")


class ValueBody(BaseModel):
    """A number that must lie within bounds, so many windows in a row."""

    model_config = STRICT

    name: ValueName = Field(description="Under values of the source.", examples=["queue-depth"])
    sources: list[SourceName] | None = Field(
        default=None, min_length=1, description="The sources it uses. Default: every source that provides the value."
    )
    min: float | None = None
    max: float | None = None
    at_least: Times | None = Field(default=None, description="The least multiple of stable's number.")
    at_most: Times | None = Field(default=None, description="The largest multiple of stable's number.")
    windows: StrictInt = Field(default=3, ge=1, le=100, description="The number of windows in a row that decide.")
    on_failure: OnFailure | None = Field(default=None, description="Default: the policy's.")
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
