"""What requests may carry, and the envelopes of answers."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Header
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from foundry_rollouts.core.model.access import Role, Way
from foundry_rollouts.core.model.audit import AuditOutcome
from foundry_rollouts.core.model.awaited import Waiting
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.lists import AgentGroup
from foundry_rollouts.operations.policy_views import PolicyView
from foundry_rollouts.ports import Condition

ONE_LINE = r"^[^\x00-\x1f\x7f]+$"

Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=ONE_LINE)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=ONE_LINE)]
Fingerprint = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]


def _no_number(value: Any) -> Any:
    """Refuse seconds since 1970: what looks like a number may have been meant as a year."""
    is_number = isinstance(value, int | float)
    if is_number or (isinstance(value, str) and re.fullmatch(r"[\s+-]*[\d._]+\s*", value)):
        raise ValueError("write an instant with its time zone, as 2026-03-02T12:00:00Z")
    return value


def _no_truth(value: Any) -> Any:
    """Refuse true, which would be read as 1."""
    if isinstance(value, bool):
        raise ValueError("write the number of the generation")  # noqa: TRY004 - it becomes a problem of the field
    return value


#: The rollout as the author of a command saw it.
Generation = Annotated[int, Field(ge=1, lt=2**31), BeforeValidator(_no_truth)]

Instant = Annotated[AwareDatetime, BeforeValidator(_no_number)]
#: The same key again does nothing again.
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200, pattern=ONE_LINE)]


#: ``wait=5``: answer when the command is done, within five seconds at most (RFC 7240).
Prefer = Annotated[str | None, Header(max_length=200)]


class StartRequest(BaseModel):
    """A wish for a rollout of ``version`` on ``agent``; without ``policy`` the one that names the agent holds."""

    model_config = ConfigDict(
        extra="forbid",
        coerce_numbers_to_str=True,
        json_schema_extra={"examples": [{"agent": "support-agent", "version": "7", "reason": "build 41"}]},
    )

    agent: Name
    version: Annotated[str, StringConstraints(max_length=1000)]
    policy: Name | None = None
    author: Name | None = None
    reason: Sentence | None = None
    created_at: Instant | None = Field(
        default=None,
        description="When the cloud made the version that is meant: another version of that number is a conflict.",
    )


class WhichAgents(BaseModel):
    """Which agents to list."""

    words: Name | None = Field(default=None, description="In the agent's name, its policy, or a version.")
    group: AgentGroup | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 100
    after: Name | None = None


class WhichEvents(BaseModel):
    """Which events to list."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    after: Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=ONE_LINE)] | None = None


class WhichRollouts(BaseModel):
    """Which rollouts to list; ``since`` and ``until`` are instants with their time zone, of its creation."""

    agent: Name | None = None
    version: Name | None = None
    phase: Phase | None = None
    policy: Name | None = None
    since: Instant | None = None
    until: Instant | None = None
    words: Name | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    before: Name | None = None


class CommandRequest(BaseModel):
    """A command to the rollout as its author saw it: at ``generation``."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"generation": 3, "reason": "it looks odd"}]}
    )

    generation: Generation
    reason: Sentence | None = None
    author: Name | None = None
    fingerprint: Fingerprint | None = Field(
        default=None, description="Of what is approved, as it was read: anything else is answered 409."
    )


class AcknowledgeRequest(BaseModel):
    """That its author knows how a rollout ended."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"generation": 4, "reason": "fixed in version 8"}]}
    )

    generation: Generation | None = None
    reason: Sentence | None = None
    author: Name | None = None


class WhichEntries(BaseModel):
    """Which entries of the audit log to list; ``since`` and ``until`` are instants with their time zone."""

    author: Name | None = None
    action: Name | None = None
    subject: Name | None = None
    outcome: AuditOutcome | None = None
    since: Instant | None = None
    until: Instant | None = None
    words: Name | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    before: Name | None = None


class EventView(BaseModel):
    """A fact in the history: what happened, why, and what it left; null where it does not apply or is not known."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)

    id: str
    at: datetime
    kind: str
    agent: str
    because: str
    rollout: str | None
    step: int | None
    weights: dict[str, int] | None
    author: str | None
    canary: str | None
    stable: str | None
    policy: str | None
    policy_hash: str | None
    phase: str | None = Field(description="Of the rollout, after the event.")
    waits_for: Waiting | None = Field(alias="for", description="What ``rollout.waiting`` waits for.")


class EventsShown(BaseModel):
    """Some events, oldest first; ``next`` names the last one, null where nothing came behind it."""

    items: list[EventView]
    next: str | None


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"


class Readiness(BaseModel):
    """Whether the service does its work, condition by condition."""

    is_ready: bool
    conditions: list[Condition]


class PolicyShown(BaseModel):
    """One policy in force, as a file would say it, with every default written out; prompts by their names."""

    name: str
    hash: str
    written: dict[str, Any]


class PoliciesInForce(BaseModel):
    """Policies, what is wrong with files that are therefore not in force, and which name agents equally.

    ``next`` begins the following page; problems and ties are all of them, on each page.
    """

    items: list[PolicyView]
    problems: list[str]
    ties: list[str] = []
    next: str | None


class Me(BaseModel):
    """Who asks."""

    name: str
    role: Role
    way: Way


class WhichPolicies(BaseModel):
    """Which policies to list; all without a limit."""

    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    after: Name | None = None


class WhichOfHistory(BaseModel):
    """Which events of a rollout to list; all without a limit."""

    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    after: Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=ONE_LINE)] | None = None


class WhichMeasurements(BaseModel):
    """Which measurements of a rollout to list: the newest, or those before a cursor."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 1000
    before: Annotated[int, Field(ge=1, lt=2**62)] | None = None
