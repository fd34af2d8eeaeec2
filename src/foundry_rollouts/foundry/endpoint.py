"""An agent's endpoint: how new sessions are divided, and whether it answers at all."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.calls import Call, json_body, path_of
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.wire import routing_patch

_MERGE_PATCH = "application/merge-patch+json"
_OPT_IN = {"Foundry-Features": "AgentEndpoints=V1Preview"}  #: Tenants that lag still ask for it.


class Endpoint:
    """The endpoints of one project's agents. Every method raises CloudError, and may be repeated."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def route(self, agent: str, routing: Routing) -> bool:
        """Replace the weights and nothing else; the endpoint may serve the old ones for some seconds.

        Returns whether every try was answered: one that was not may still be applied later.
        """
        body = json_body(routing_patch(routing), _MERGE_PATCH)
        path = path_of("agents", agent)
        shape = shapes.agent(agent, is_routed=False)
        call = Call("agents.route", "PATCH", path, headers=_OPT_IN, body=body, shape=shape)
        return (await self._transport.request(call)).is_certain

    async def configure(self, agent: str, routing: Routing, settings: Mapping[str, Any]) -> None:
        """Merge ``settings`` into those of the endpoint, and send its weights along, lest they are lost in turn."""
        patch = routing_patch(routing)
        patch["agent_endpoint"] |= settings
        body = json_body(patch, _MERGE_PATCH)
        path = path_of("agents", agent)
        await self._transport.request(Call("agents.configure", "PATCH", path, headers=_OPT_IN, body=body))

    async def answer(self, agent: str, protocols: Collection[str]) -> None:
        """Answer ``protocols`` too; those that are answered already stay as they are configured."""
        configured: dict[str, dict[str, str]] = {name: {} for name in protocols}
        body = json_body({"agent_endpoint": {"protocol_configuration": configured}}, _MERGE_PATCH)
        path, shape = path_of("agents", agent), shapes.agent(agent, is_routed=False)
        await self._transport.request(Call("agents.protocols", "PATCH", path, headers=_OPT_IN, body=body, shape=shape))

    async def serve(self, agent: str, before: Sequence[str], after: Sequence[str], *, as_list: bool = False) -> None:
        """Serve ``after`` and no other protocol; those that stay are left as they are configured.

        A service that knows the older dialect only takes a whole list instead.
        """
        configured: dict[str, Any] = {name: {} for name in after if name not in before}
        configured |= {name: None for name in before if name not in after}
        endpoint = {"protocols": list(after)} if as_list else {"protocol_configuration": configured}
        body = json_body({"agent_endpoint": endpoint}, _MERGE_PATCH)
        path, shape = path_of("agents", agent), shapes.agent(agent, is_routed=False)
        await self._transport.request(Call("agents.protocols", "PATCH", path, headers=_OPT_IN, body=body, shape=shape))

    async def enable(self, agent: str) -> None:
        path = path_of("agents", agent, action="enable")
        await self._transport.request(Call("agents.enable", "POST", path, shape=shapes.done(agent)))

    async def disable(self, agent: str) -> None:
        """Close the endpoint: no new sessions, no requests; sessions that live may drain."""
        path = path_of("agents", agent, action="disable")
        await self._transport.request(Call("agents.disable", "POST", path, shape=shapes.done(agent)))
