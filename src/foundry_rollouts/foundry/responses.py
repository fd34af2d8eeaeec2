"""Responses that the cloud keeps: read, cancel, delete."""

from collections.abc import Mapping
from typing import Any

from foundry_rollouts.foundry.calls import Call, path_of
from foundry_rollouts.foundry.http import Transport


class Responses:
    """Kept responses of one project's agents, as the Responses protocol has them. Raises CloudError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def one(self, agent: str, response: str) -> Mapping[str, Any]:
        return (await self._transport.request(Call("responses.get", "GET", _path(agent, response)))).json

    async def inputs(self, agent: str, response: str) -> list[Mapping[str, Any]]:
        """Return what the response was an answer to."""
        call = Call("responses.inputs", "GET", _path(agent, response, "input_items"))
        return list((await self._transport.request(call)).json.get("data") or ())

    async def cancel(self, agent: str, response: str) -> Mapping[str, Any]:
        call = Call("responses.cancel", "POST", _path(agent, response, "cancel"))
        return (await self._transport.request(call)).json

    async def delete(self, agent: str, response: str) -> None:
        await self._transport.request(Call("responses.delete", "DELETE", _path(agent, response)))


def _path(agent: str, *more: str) -> str:
    return path_of("agents", agent, "endpoint", "protocols", "openai", "responses", *more)
