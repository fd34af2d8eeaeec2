"""Globs on agent names: what one matches, and how exactly it names an agent.

Where agents are named ``project/agent`` a glob without a slash is on the agent's plain name.
"""

import re
from fnmatch import translate
from functools import lru_cache

from foundry_rollouts.core.model.agent_names import SEPARATOR, plain_name

EXACT = 10_000  #: How exactly a name in full names its agent.


def exactness_for(glob: str, agent: str) -> int | None:
    """Return how exactly ``glob`` names ``agent``; None when it does not."""
    if SEPARATOR in glob:
        # A name with its project is more exact than one without.
        if glob == agent:
            return EXACT + 1
        return exactness(glob) if SEPARATOR in agent and _matches_parts(glob, agent) else None
    plain = plain_name(agent)
    if glob == plain:
        return EXACT
    return exactness(glob) if _pattern_of(glob).match(plain) else None


def _matches_parts(glob: str, agent: str) -> bool:
    """Whether the project and the plain name match, each its own part of ``glob``."""
    parts = zip(glob.split(SEPARATOR, 1), agent.split(SEPARATOR, 1), strict=True)
    return all(_pattern_of(part).match(text) for part, text in parts)


def exactness(glob: str) -> int:
    """Return how exactly a glob names an agent that it does not spell out: by the letters that are no wildcards."""
    return len(glob.replace("*", "").replace("?", ""))


@lru_cache(maxsize=100_000)
def _pattern_of(glob: str) -> re.Pattern[str]:
    """Return ``glob`` compiled once: each agent is held against every glob at every discovery."""
    return re.compile(translate(glob))
