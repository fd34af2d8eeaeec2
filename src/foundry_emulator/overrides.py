"""A version for one call: the request header that asks for one, and the answer headers that say which one served.

Tells of ``invoke_version_override.go`` in azd; where regions differ is a switch: ``obeys``; ``ignores`` the wish in
silence; ``falls-back`` to the weights and says so; ``absent``, which knows none of these headers.
"""

from collections.abc import Mapping

from foundry_emulator.records import LATEST, AgentRecord, SessionRecord
from foundry_emulator.world import World

OVERRIDE = "x-agent-version-override"
RESOLVED = "x-agent-version-resolved"
FALLBACK = "x-agent-version-fallback"
_LATEST = "latest"


def wanted_version(world: World, agent: AgentRecord, headers: Mapping[str, str]) -> str | None:
    """Return the version that a call asks for and gets, whatever the weights say; None: the weights decide."""
    wish = headers.get(OVERRIDE)
    if wish is None or world.switches.version_override != "obeys":
        return None
    return _concrete(world, agent, wish)


def resolution(world: World, session: SessionRecord, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the answer headers that say which version served; a session keeps its own, whatever is wished."""
    switch = world.switches.version_override
    if switch == "absent":
        return {}
    wish = headers.get(OVERRIDE)
    agent = world.state.agent(session.key.agent)
    is_obeyed = wish is None or _concrete(world, agent, wish) == session.version
    return {RESOLVED: session.version, **({} if is_obeyed or switch == "ignores" else {FALLBACK: "true"})}


def _concrete(world: World, agent: AgentRecord, wish: str) -> str:
    newest = world.state.routed(agent.key, LATEST) if wish == _LATEST else None
    return newest.version if newest else wish
