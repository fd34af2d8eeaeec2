"""Kinds of agents: what each accepts as a definition, and what only some of them have."""

from typing import Any

from foundry_emulator import definitions, prompt_agents
from foundry_emulator.errors import FoundryError, invalid
from foundry_emulator.records import AgentKey, Kind
from foundry_emulator.state import State

KINDS = ("prompt", "hosted", "workflow", "external", "voice")  #: The cloud's own; the last three are not made here.


def accepted(raw: object, code_hash: str | None) -> dict[str, Any]:
    """Return a definition as it is kept and echoed, or raise the 400 that refuses it."""
    if isinstance(raw, dict) and raw.get("kind") == "prompt":
        return prompt_agents.accepted(raw, code_hash)
    return definitions.accepted(raw, code_hash)


def kind_of(definition: dict[str, Any]) -> Kind:
    """Return the kind of a kept definition."""
    return "prompt" if definition["kind"] == "prompt" else "hosted"


def kind_of_agent(state: State, key: AgentKey) -> Kind:
    """Return an agent's kind, which all its versions share."""
    return state.agent(key).kind


def refuse_other_kind(state: State, key: AgentKey, definition: dict[str, Any]) -> None:
    """Raise the 400 for a version of another kind than the agent's."""
    kind = kind_of_agent(state, key)
    if kind_of(definition) != kind:
        raise invalid(f"Agent '{key.name}' is of kind '{kind}'.", "definition.kind")


def refuse_sessions(state: State, key: AgentKey) -> None:
    """Raise the 400 for a session of an agent that has none."""
    if kind_of_agent(state, key) == "prompt":
        raise invalid(f"Agent '{key.name}' is of kind 'prompt' and has no sessions.", "agent_session_id")


def refuse_all_but_responses(state: State, key: AgentKey) -> None:
    """Raise the 400 for another protocol than Responses, whatever the endpoint enables."""
    if kind_of_agent(state, key) == "prompt":
        message = f"Agent '{key.name}' is of kind 'prompt': it serves the Responses protocol only."
        raise FoundryError(400, "endpoint-protocol-not-enabled", message)
