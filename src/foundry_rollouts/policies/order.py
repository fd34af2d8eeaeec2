"""Agents that wait for one another in a circle: none of them could ever start."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from foundry_rollouts.core.deciding.fleet import before
from foundry_rollouts.core.model.agent_names import SEPARATOR, full_name, project_in
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.errors import UsageError
from foundry_rollouts.policies.choosing import most_exact


def circle_in(policies: Sequence[Policy]) -> tuple[str, ...]:
    """Return agents that wait for each other, the first one again at the end; empty: there are none.

    Every agent of a circle is named in an ``after``, so that no other has to be considered.
    """
    nodes = {agent for policy in policies for agent in _named(policy)}
    graph = {agent: _before(agent, policies) for agent in sorted(nodes)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # The library names each one after the one that waits for it.
        return tuple(reversed(error.args[1]))
    return ()


def _named(policy: Policy) -> set[str]:
    """Return the agents that come before those of ``policy``, in every project that it names."""
    projects = {project_in(glob) for glob in policy.agents}
    return {name if SEPARATOR in name else full_name(project, name) for name in policy.after for project in projects}


def _before(agent: str, policies: Sequence[Policy]) -> tuple[str, ...]:
    try:
        policy = most_exact(policies, agent)
    except UsageError:
        return ()
    return before(agent, policy) if policy else ()
