"""A version for one call: the request header that asks for one, and the answer headers that say which one served.

Tells of ``invoke_version_override.go`` in azd; where regions differ is a switch: ``obeys``; ``ignores`` the wish in
silence; ``falls-back`` to the weights and says so; ``absent``, which knows none of these headers. What azd does not
say is a guess: a session keeps its version, a version without weight and a draft may serve, a closed endpoint refuses.
"""

import re

from starlette.datastructures import Headers

from foundry_emulator.errors import invalid
from foundry_emulator.records import LATEST, AgentRecord, SessionRecord
from foundry_emulator.world import World

OVERRIDE = "x-agent-version-override"
RESOLVED = "x-agent-version-resolved"
RESOLUTION = "x-agent-version-resolution"
FALLBACK = "x-agent-version-fallback"
_LATEST = "latest"
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,128}")


def wanted_version(world: World, agent: AgentRecord, headers: Headers) -> str | None:
    """Return the version that a call asks for and gets, whatever the weights say; None: the weights decide.

    Raises the 400 for a wish that is no version, and for several of them; who ignores wishes reads none.
    """
    wishes, switch = headers.getlist(OVERRIDE), world.switches.version_override
    if not wishes or switch in {"ignores", "absent"}:
        return None
    if len(wishes) > 1 or not _VERSION.fullmatch(wishes[0]):
        raise invalid(f"'{OVERRIDE}' names one version, or 'latest'.", OVERRIDE)
    return _concrete(world, agent, wishes[0]) if switch == "obeys" else None


def resolution(world: World, session: SessionRecord, headers: Headers) -> dict[str, str]:
    """Return the answer headers that say which version served; a session keeps its own, whatever is wished."""
    wish, switch = headers.get(OVERRIDE), world.switches.version_override
    if switch == "absent":
        return {}
    agent = world.state.agent(session.key.agent)
    is_obeyed = wish is not None and _concrete(world, agent, wish) == session.version
    named = {RESOLVED: session.version, RESOLUTION: "override" if is_obeyed and switch == "obeys" else "endpoint"}
    return named if wish is None or is_obeyed or switch == "ignores" else {**named, FALLBACK: "true"}


def _concrete(world: World, agent: AgentRecord, wish: str) -> str:
    newest = world.state.routed(agent.key, LATEST) if wish == _LATEST else None
    return newest.version if newest else wish
