"""Agents: list, show one, delete."""

from collections.abc import AsyncGenerator

from foundry_rollouts.errors import NOT_WHOLE, CloudError
from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.calls import Call, path_of
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.paging import items
from foundry_rollouts.foundry.wire import AgentDetails, agent_details, unreadable_agent


class Agents:
    """The agents of one project, of every kind. Every method raises CloudError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def all(self) -> AsyncGenerator[AgentDetails, None]:
        """Yield every agent, a hundred to a request; one without a name has an empty one, and its fault."""
        call = Call("agents.list", "GET", path_of("agents"), shape=shapes.agents())
        place = 0
        async for item in items(self._transport, call):
            place += 1
            # What is left out of a list, or is not whole in it, is that one agent's: it is asked for by itself.
            name = shapes.agent_name(item)
            if not name:
                yield unreadable_agent("", f"item {place} of the list of agents has no name")
                continue
            is_told = shapes.agent_fault(item) is None and bool(item.get("agent_endpoint"))
            if is_told:
                yield agent_details(item)
            elif (agent := await self._asked_for(name)) is not None:
                yield agent

    async def _asked_for(self, name: str) -> AgentDetails | None:
        """Return an agent that a list does not tell, with the reason where it cannot be read; None: it is gone."""
        try:
            return await self.one(name)
        except CloudError as error:
            if error.is_missing:
                return None
            # What keeps us from asking for one agent keeps us from asking for any.
            if error.is_ours and error.refusal.code != NOT_WHOLE:
                raise
            return unreadable_agent(name, str(error))

    async def one(self, name: str) -> AgentDetails:
        """Return the agent called ``name``; ``is_missing`` of the error tells that there is none."""
        shape = shapes.agent(name, is_routed=True)
        reply = await self._transport.request(Call("agents.get", "GET", path_of("agents", name), shape=shape))
        return agent_details(reply.json)

    async def delete(self, name: str, *, force: bool = False) -> None:
        """Delete the agent with all its versions; live sessions are a 409 unless ``force`` ends them."""
        params = {"force": "true"} if force else {}
        call = Call("agents.delete", "DELETE", path_of("agents", name), params=params, shape=shapes.done(name))
        await self._transport.request(call)
