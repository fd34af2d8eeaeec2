"""The control API's part for one agent: what the cloud decides about it and no caller can set."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from foundry_emulator.records import AgentKey, DisabledBy, PublishApproval
from foundry_emulator.views import agent_view
from foundry_emulator.world import World


class AgentBody(BaseModel):
    """Facts of an agent to change; what is left out stays, null takes it away."""

    model_config = ConfigDict(extra="forbid")

    disabled_by: DisabledBy | None = None
    publish_approval_status: PublishApproval | None = None


def control_agents_router(world_of: Callable[[], World]) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/_emulator/projects/{project}/agents/{name}")

    @router.patch("")
    async def change_agent(project: str, name: str, body: AgentBody) -> dict[str, Any]:
        world, key = world_of(), AgentKey(project, name)
        agent = world.state.put_agent(replace(world.state.agent(key), **body.model_dump(exclude_unset=True)))
        world.spawn(world.compute.drain(key))
        return agent_view(agent, world.state.latest(key))

    return router
