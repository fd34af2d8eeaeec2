"""Globs on agent names: what one matches, and how exactly it names an agent."""

import re
from fnmatch import translate
from functools import lru_cache

EXACT = 10_000  #: How exactly a name in full names its agent.


def exactness_for(glob: str, agent: str) -> int | None:
    """Return how exactly ``glob`` names ``agent``; None when it does not."""
    if glob == agent:
        return EXACT
    return exactness(glob) if _pattern_of(glob).match(agent) else None


def exactness(glob: str) -> int:
    """Return how exactly a glob names an agent that it does not spell out: by the letters that are no wildcards."""
    return len(glob.replace("*", "").replace("?", ""))


@lru_cache(maxsize=100_000)
def _pattern_of(glob: str) -> re.Pattern[str]:
    """Return ``glob`` compiled once: each agent is held against every glob at every discovery."""
    return re.compile(translate(glob))
