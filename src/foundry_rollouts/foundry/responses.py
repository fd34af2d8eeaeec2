"""Responses that the cloud keeps: read, cancel, delete."""

from collections.abc import Mapping
from typing import Any

from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.calls import Call, path_of
from foundry_rollouts.foundry.http import Transport


class Responses:
    """Kept responses of one project's agents, as the Responses protocol has them. Raises CloudError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def one(self, agent: str, response: str) -> Mapping[str, Any]:
        shape = shapes.kept("response", response)
        return (await self._transport.request(Call("responses.get", "GET", _path(agent, response), shape=shape))).json

    async def inputs(self, agent: str, response: str) -> list[Mapping[str, Any]]:
        """Return what the response was an answer to."""
        call = Call("responses.inputs", "GET", _path(agent, response, "input_items"), shape=shapes.page("inputs"))
        return list((await self._transport.request(call)).json["data"])

    async def cancel(self, agent: str, response: str) -> Mapping[str, Any]:
        shape = shapes.kept("response", response)
        call = Call("responses.cancel", "POST", _path(agent, response, "cancel"), shape=shape)
        return (await self._transport.request(call)).json

    async def delete(self, agent: str, response: str) -> None:
        await self._transport.request(Call("responses.delete", "DELETE", _path(agent, response), shape=shapes.done()))


def _path(agent: str, *more: str) -> str:
    return path_of("agents", agent, "endpoint", "protocols", "openai", "responses", *more)
