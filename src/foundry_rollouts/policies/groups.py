"""How a policy writes the group of its agents, and what of it makes no sense: alone, or beside other policies."""

import re
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, Field

from foundry_rollouts.core.model.group import Group
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.policies.documents import Places, Problem
from foundry_rollouts.policies.source_entries import STRICT
from foundry_rollouts.policies.units import AgentName, Name

MOST_AGENTS = 50
#: Where a report finds what policies of one group have to agree on.
PLACES = ("group", "agents"), ("steps",)


class GroupEntry(BaseModel):
    """Agents that move in lockstep: nobody goes on before all would, and all go back with the first that fails."""

    model_config = STRICT

    name: Name = Field(description="What sentences call the group.", examples=["checkout"])
    agents: list[AgentName] = Field(
        min_length=2,
        max_length=MOST_AGENTS,
        description="All of its agents, each in full; every policy of the group has the same list. Where several "
        "projects are watched, a name may be project/agent.",
        examples=[["cart", "payment", "shipping"]],
    )


def group_of(entry: GroupEntry | None) -> Group | None:
    """Return the group in the core's words."""
    return Group(entry.name, tuple(entry.agents)) if entry else None


def group_problems(agents: list[str], after: list[str], entry: GroupEntry | None) -> Iterator[Problem]:
    """Yield what makes no sense in the group of a policy for ``agents``, which come ``after`` others."""
    if entry is None:
        return
    for place, name in enumerate(entry.agents):
        if name in entry.agents[:place]:
            yield Problem(("group", "agents", place), f"'{name}' appears here twice: keep one of them")
    for place, glob in enumerate(agents):
        if re.search(r"[*?\[]", glob):
            yield Problem(("agents", place), f"'{glob}' is a pattern, and a group knows its agents: name each in full")
        elif glob not in entry.agents:
            yield Problem(("agents", place), f"'{glob}' is not in the group: add it to group.agents, or leave it out")
    for place, name in enumerate(after):
        if name in entry.agents:
            both = f"'{name}' cannot come first and start together with the others of its group"
            yield Problem(("after", place), f"{both}: leave it out here, or there")


def group_clashes(written: Iterable[tuple[Policy, Places]]) -> Iterator[str]:
    """Yield a line for each policy that says other agents or weights of a group than the policy before it."""
    first: dict[str, tuple[Policy, Places]] = {}
    for policy, places in written:
        if policy.group is None:
            continue
        known, where = first.setdefault(policy.group.name, (policy, places))
        whose = f"group {policy.group.name} in {where.start}"
        if known.group is not None and set(known.group.agents) != set(policy.group.agents):
            listed = ", ".join(known.group.agents)
            yield places.line(Problem(("group", "agents"), f"{whose} has the agents {listed}: write the same list"))
        if known.weights != policy.weights:
            weights = ", ".join(map(str, known.weights))
            yield places.line(Problem(("steps",), f"{whose} has the steps {weights}: agents of a group share them"))
