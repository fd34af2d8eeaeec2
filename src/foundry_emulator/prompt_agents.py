"""Prompt agents: a model and its instructions instead of a container. No sessions, no logs, no code.

The model's name says how it behaves here: ``emulator://echo?error_rate=0.5`` is a built-in behaviour with parameters
as images have them, and any other name answers with what it was sent. Parameters of a container are refused.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from foundry_emulator.bodies import parsed
from foundry_emulator.clock import EmulatedClock
from foundry_emulator.errors import FoundryError, invalid
from foundry_emulator.logs import LogTail
from foundry_emulator.records import AgentKey, AgentRecord, VersionRecord
from foundry_emulator.sandboxes.behaviours import SCHEME, Behaviour, ImageError, behaviour_of
from foundry_emulator.sandboxes.builtin import BuiltinPlan, BuiltinSandbox
from foundry_emulator.sandboxes.contract import AgentAnswer, AgentCall

_OF_CONTAINERS = {"crash", "ready_after", "log_error_rate"}
_DEFINED = ("instructions", "tools", "text", "reasoning")  #: What the version says, a request may not say otherwise.
_REMEMBERED = 100_000


class PromptDefinition(BaseModel):
    """A prompt agent's definition as a caller sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["prompt"]
    model: Annotated[str, Field(min_length=1)]
    instructions: str | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    reasoning: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    structured_inputs: dict[str, dict[str, Any]] | None = None
    rai_config: dict[str, Any] | None = None
    harness: dict[str, Any] | None = None
    skills: list[dict[str, Any]] | None = None


def accepted(raw: object, code_hash: str | None) -> dict[str, Any]:
    """Return the definition as it is kept and echoed, or raise the 400 that refuses it."""
    definition = parsed(PromptDefinition, raw, "definition")
    if code_hash is not None:
        raise invalid("A code upload needs a definition of kind 'hosted'.", "definition.kind")
    try:
        behaviour = _behaviour(definition.model)
    except ImageError as error:
        raise invalid(f"The model is not one of the local Foundry's: {error}.", "definition.model") from error
    if wrong := sorted(behaviour.model_fields_set & _OF_CONTAINERS):
        raise invalid(f"'{wrong[0]}' is for containers, a model has none.", "definition.model")
    return definition.model_dump(exclude_none=True)


def refuse_overrides(body: dict[str, Any]) -> None:
    """Raise the 400 for a request that would change what the version defines."""
    for name in _DEFINED:
        if body.get(name) is not None:
            raise FoundryError(400, "invalid_payload", "Not allowed when agent is specified.", name)


class PromptModels:
    """The models behind all prompt versions, and which of them gave a response."""

    def __init__(self, clock: EmulatedClock, throttle_of: Callable[[str], float]) -> None:
        self._clock = clock
        self._throttle_of = throttle_of
        self._models: dict[tuple[str, str], BuiltinSandbox] = {}
        self._authors: OrderedDict[str, tuple[AgentKey, str]] = OrderedDict()

    async def ask(self, agent: AgentRecord, version: VersionRecord, call: AgentCall) -> AgentAnswer:
        """Let the version's model answer one request of the Responses protocol."""
        return await self._model(agent, version).call(call)

    def remember(self, response: str, version: VersionRecord) -> None:
        """Take note of who gave a response; the oldest are forgotten."""
        self._authors[response] = version.agent, version.version
        if len(self._authors) > _REMEMBERED:
            self._authors.popitem(last=False)

    def author(self, response: str) -> tuple[AgentKey, str] | None:
        """Return which version of which agent gave a response; None: no prompt agent's."""
        return self._authors.get(response)

    def clear(self) -> None:
        """Forget them all."""
        self._models.clear()
        self._authors.clear()

    def _model(self, agent: AgentRecord, version: VersionRecord) -> BuiltinSandbox:
        known = self._models.get((agent.guid, version.version))
        if known is None:
            behaviour, name = _behaviour(version.definition["model"]), version.version
            plan = BuiltinPlan(behaviour, behaviour.dice(), ("responses",), lambda: self._throttle_of(name))
            known = self._models[agent.guid, name] = BuiltinSandbox(plan, LogTail(self._clock), self._clock)
        return known


def request_of(body: dict[str, Any], version: VersionRecord, reference: dict[str, str]) -> bytes:
    """Return what the model is sent."""
    return json.dumps({**body, "model": version.definition["model"], "agent_reference": reference}).encode()


def _behaviour(model: str) -> Behaviour:
    return behaviour_of(model) if model.startswith(f"{SCHEME}:") else Behaviour()
