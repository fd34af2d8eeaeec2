"""The targets of notifications: whether messages reach them, and a test of one."""

from fastapi import APIRouter
from pydantic import BaseModel

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.targets import TargetView, target_views, try_target
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.auditing import audited
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.requester import By
from foundry_rollouts.web.services import Ours

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)


class TargetList(BaseModel):
    """Every target that is configured."""

    items: list[TargetView]


class Tested(BaseModel):
    """A target that took a test message."""

    target: str
    delivered: bool = True


@router.get("/targets", dependencies=[needs(Role.VIEWER)])
async def list_targets(ours: Ours) -> TargetList:
    """List the targets of notifications, what each hears, and why messages do not reach it; never its address."""
    return TargetList(items=await target_views(ours.store, ours.targets, ours.now()))


@router.post(
    "/targets/{target_name}:test",
    dependencies=[needs(Role.OPERATOR), audited("target.test")],
)
async def send_test(target_name: str, ours: Ours, _by: By) -> Tested:
    """Send a test message to a target at once, whatever it is to hear and whatever the hour."""
    await try_target(ours.targets, target_name)
    return Tested(target=target_name)
