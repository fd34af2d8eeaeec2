"""The control API under ``/_emulator``: health, pace, faults, switches, planned failures, processes, reset.

It is the emulator's own and has no counterpart in the cloud; nothing but tests, demos and people may depend on it.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from foundry_emulator.compute import Patience
from foundry_emulator.config import Lifecycle
from foundry_emulator.errors import not_found
from foundry_emulator.faults import Fault
from foundry_emulator.operations import OPERATIONS
from foundry_emulator.records import AgentKey
from foundry_emulator.world import PlannedFailure, VersionOverride, World

Span = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_FAULT_WORDS = {"drop": "is_dropped", "applied": "is_applied"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LifecycleBody(_Strict):
    """When new versions become active."""

    kind: Literal["immediate", "looks", "seconds"]
    value: Span = 0.0


class FaultBody(_Strict):
    """One fault to plant; see ``faults.Fault`` for what the fields mean."""

    operation: str
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    code: str = "server_error"
    message: str = "Injected by the emulator."
    retry_after: Span | None = None
    retry_after_ms: Span | None = None
    details: str | None = None
    latency_ms: Span = 0.0
    drop: bool = False
    applied: bool = False
    apply_after: Span | None = None
    agent: str | None = None
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    times: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _make_sense(self) -> "FaultBody":
        prefixes = {operation.name.split(".")[0] + ".*" for operation in OPERATIONS}
        if self.operation not in {"*", *prefixes, *(operation.name for operation in OPERATIONS)}:
            raise ValueError(f"unknown operation '{self.operation}'")
        if self.drop and self.status is not None:
            raise ValueError("a dropped answer has no status")
        if (self.applied or self.apply_after is not None) and not self.drop and self.status is None:
            raise ValueError("'applied' and 'apply_after' need 'status' or 'drop'")
        return self


class SwitchesBody(_Strict):
    """Switches to change; what is left out stays, so the defaults here are never used."""

    ignore_weights: bool = False
    new_sessions_to: str | None = None
    version_override: VersionOverride = "obeys"
    model_throttle_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    model_throttle_version: str | None = None
    routing_lag_seconds: Span = 0.0
    swap_interrupts: bool = False
    checks_layout: bool = True
    preview_invoke: bool = True
    drafts_enabled: bool = True
    lenient_routing: bool = False
    rebind_pinned: bool = False
    require_draft_opt_in: bool = False
    max_sessions: Annotated[int, Field(ge=0)] | None = None
    principal_delay_seconds: Span = 0.0
    arm_forbidden: bool = False


class ClockBody(_Strict):
    """How fast the emulator's clock runs."""

    speed: Annotated[float, Field(gt=0, le=100_000_000)]


class PatienceBody(_Strict):
    """How long agents may take, in real seconds."""

    readiness_seconds: Annotated[float, Field(gt=0)]
    call_seconds: Annotated[float, Field(gt=0)]


class FailureBody(_Strict):
    """The error of the next version."""

    code: str = "CodeError"
    message: str = "The build failed."


def control_router(world_of: Callable[[], World]) -> APIRouter:
    """Return the routes of the control API."""
    router = APIRouter(prefix="/_emulator")
    _add_pace(router, world_of)
    _add_faults(router, world_of)
    _add_insight(router, world_of)
    return router


def _add_pace(router: APIRouter, world_of: Callable[[], World]) -> None:
    @router.put("/lifecycle")
    async def set_lifecycle(body: LifecycleBody) -> dict[str, Any]:
        world_of().lifecycle = Lifecycle(body.kind, body.value)
        return body.model_dump()

    @router.put("/clock")
    async def set_clock(body: ClockBody) -> dict[str, Any]:
        world_of().clock.run_at(body.speed)
        return {"speed": body.speed, "now": world_of().clock.stamp()}

    @router.put("/patience")
    async def set_patience(body: PatienceBody) -> dict[str, Any]:
        world_of().compute.patience = Patience(body.readiness_seconds, body.call_seconds)
        return body.model_dump()

    @router.get("/switches")
    async def read_switches() -> dict[str, Any]:
        return asdict(world_of().switches)

    @router.patch("/switches")
    async def change_switches(body: SwitchesBody) -> dict[str, Any]:
        world_of().switches = replace(world_of().switches, **body.model_dump(exclude_unset=True))
        return asdict(world_of().switches)


def _add_faults(router: APIRouter, world_of: Callable[[], World]) -> None:
    @router.get("/faults")
    async def list_faults() -> list[dict[str, Any]]:
        return [asdict(fault) for fault in world_of().faults.all()]

    @router.post("/faults", status_code=201)
    async def plant_fault(body: FaultBody) -> dict[str, Any]:
        fields = {_FAULT_WORDS.get(name, name): value for name, value in body.model_dump().items()}
        fault = Fault(**fields)
        world_of().faults.plant(fault)
        return asdict(fault)

    @router.delete("/faults", status_code=204)
    async def clear_faults() -> Response:
        world_of().faults.clear()
        return Response(status_code=204)

    @router.delete("/faults/{fault_id}", status_code=204)
    async def lift_fault(fault_id: str) -> Response:
        if not world_of().faults.lift(fault_id):
            raise not_found(f"Fault '{fault_id}' not found")
        return Response(status_code=204)

    @router.post("/projects/{project}/agents/{name}/fail-next-version", status_code=204)
    async def fail_next_version(project: str, name: str, body: FailureBody) -> Response:
        world_of().planned_failures[AgentKey(project, name)] = PlannedFailure(body.code, body.message)
        return Response(status_code=204)


def _add_insight(router: APIRouter, world_of: Callable[[], World]) -> None:
    @router.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @router.get("/processes")
    async def list_processes() -> list[dict[str, Any]]:
        return [
            {"project": key.agent.project, "agent": key.agent.name, "session": key.id, "pid": pid, "in_flight": calls}
            for key, pid, calls in world_of().compute.live()
        ]

    @router.post("/reset", status_code=204)
    async def reset() -> Response:
        await world_of().reset()
        return Response(status_code=204)
