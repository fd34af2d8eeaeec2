"""Where callers report how their calls went, in batches."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
)

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.outcomes import Taken, take
from foundry_rollouts.operations.reports import Report
from foundry_rollouts.ports.outcomes import Result
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.auditing import UNAUDITED, audited
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.schemas import ONE_LINE, Instant
from foundry_rollouts.web.services import Ours

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)


def _or_number(longest: int) -> WithJsonSchema:
    """Say in the OpenAPI text that a line may also be written as a number."""
    text = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": ONE_LINE}
    return WithJsonSchema({"anyOf": [text, {"type": "number"}]})


Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=ONE_LINE), _or_number(200)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=ONE_LINE), _or_number(128)]
#: A day of milliseconds: what takes longer was measured in another unit.
LONGEST_MS = 86_400_000


class OutcomeReport(BaseModel):
    """How one call went: ``ok``, or the HTTP ``status``; the same ``id`` again is the same call."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    id: Id
    agent: Label
    version: Label
    at: Instant = Field(description="When the call began, with its time zone.")
    ok: StrictBool | None = None
    status: Annotated[int, Field(ge=100, le=599, strict=True)] | None = None
    latency_ms: Annotated[float, Field(ge=0, le=LONGEST_MS, allow_inf_nan=False, strict=True)] | None = None
    session: Id | None = None
    error: Annotated[str, Field(max_length=1000, strict=True)] | None = Field(
        default=None,
        description="The error code of a failed answer, as rate_limit_exceeded. It tells a throttled model apart.",
    )
    log_error: StrictBool = Field(default=False, description="Whether the call wrote an error to the log.")


_EXAMPLES: list[JsonValue] = [
    {"id": "call-1", "agent": "support-agent", "version": "7", "at": "2026-03-02T12:00:00Z", "ok": True},
    {
        "id": "call-2",
        "agent": "support-agent",
        "version": "7",
        "at": "2026-03-02T12:00:01Z",
        "status": 500,
        "latency_ms": 812.5,
        "session": "s-17",
        "error": "server_error",
    },
]


class OutcomeBatch(BaseModel):
    """Up to 300 outcomes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"outcomes": _EXAMPLES}]})

    outcomes: Annotated[list[OutcomeReport], Field(min_length=1, max_length=300)]


class RefusedOutcome(BaseModel):
    """An outcome of which nothing is written down, and why."""

    id: str
    because: str


class OutcomeNotCounted(BaseModel):
    """An outcome that does not count: ``result`` is the word that the metric has for it, ``why`` a sentence."""

    id: str
    agent: str
    result: Result
    why: str


class OutcomesTaken(BaseModel):
    """What became of a batch: ``counted`` and ``not_counted`` are all of it.

    ``accepted`` are written down, ``known`` were reported before and count once, ``refused`` may be sent again when
    they are right; ``clock`` says how far the caller's clock may be from ours.
    """

    accepted: int
    known: int
    counted: int
    refused: list[RefusedOutcome]
    not_counted: list[OutcomeNotCounted]
    clock: str | None


@router.post("/outcomes", dependencies=[needs(Role.CALLER), audited(UNAUDITED)])
async def report_outcomes(batch: OutcomeBatch, ours: Ours) -> OutcomesTaken:
    """Report how calls went, in batches; a failed call on the canary makes its rollout due at once."""
    now: datetime = ours.now()
    taken: Taken = await take(ours.store, ours.policies, [_report(outcome) for outcome in batch.outcomes], now)
    ours.metrics.outcomes(Result.COUNTED, taken.counted)
    for each in taken.not_counted:
        ours.metrics.outcomes(each.result)
    return OutcomesTaken(
        accepted=taken.accepted,
        known=taken.known,
        counted=taken.counted,
        refused=[RefusedOutcome(id=each.id, because=each.because) for each in taken.refused],
        not_counted=[
            OutcomeNotCounted(id=each.id, agent=each.agent, result=each.result, why=each.because)
            for each in taken.not_counted
        ],
        clock=taken.clock,
    )


def _report(outcome: OutcomeReport) -> Report:
    return Report(
        id=outcome.id,
        agent=outcome.agent,
        version=outcome.version,
        at=outcome.at,
        is_ok=outcome.ok,
        status=outcome.status,
        latency=None if outcome.latency_ms is None else timedelta(milliseconds=outcome.latency_ms),
        session=outcome.session,
        has_log_error=outcome.log_error,
        error=outcome.error,
    )
