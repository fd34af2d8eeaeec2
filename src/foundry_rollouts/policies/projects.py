"""The policies of several projects: those of a project's own file or folder, else those that all share.

An own policy is for its project alone: it is called ``project/name``, and its globs are on that project's agents.
Shared policies name agents by their plain names, or one project's as ``project/agent``.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from foundry_rollouts.core.model.agent_names import SEPARATOR, full_name, project_in
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.errors import PolicyError
from foundry_rollouts.policies.choosing import most_exact, policy_named
from foundry_rollouts.policies.folder import PolicyFolder


@dataclass(slots=True)
class ProjectPolicies:
    """The policies of every project; satisfies ``ports.Policies``. ``shared`` is None where each has its own."""

    shared: PolicyFolder | None
    own: Mapping[str, PolicyFolder]
    _bound: dict[str, tuple[Sequence[Policy], tuple[Policy, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise PolicyError where an own policy names another project."""
        if wrong := [line for project in self.own for line in self._foreign(project)]:
            raise PolicyError(tuple(wrong))

    @property
    def problems(self) -> Sequence[str]:
        folders = (self.shared, *self.own.values())
        found = [line for folder in folders if folder for line in folder.problems]
        return tuple(dict.fromkeys([*found, *(line for project in self.own for line in self._foreign(project))]))

    def all(self) -> Sequence[Policy]:
        shared = self.shared.all() if self.shared else ()
        return (*shared, *(policy for project in self.own for policy in self.those_of(project)))

    def named(self, name: str) -> Policy:
        """Return the policy called ``name``. Raises NotFoundError."""
        return policy_named(self.all(), name)

    def policy_for(self, agent: str) -> Policy | None:
        """Return the policy that names ``agent`` most exactly, or None. Raises UsageError on a tie."""
        return most_exact(self.those_of(project_in(agent)), agent)

    def of(self, project: str) -> "PoliciesOfProject":
        """Return these policies as one project has them."""
        return PoliciesOfProject(self, project)

    async def watch(self, stop: asyncio.Event, on_reload: Callable[[], None] = lambda: None) -> None:
        """Reload after every change of the files, until ``stop`` is set; call ``on_reload`` when it tells."""
        async with asyncio.TaskGroup() as group:
            for folder in (self.shared, *self.own.values()):
                if folder is not None:
                    group.create_task(folder.watch(stop, on_reload))

    def those_of(self, project: str) -> Sequence[Policy]:
        """Return the policies that may govern the agents of ``project``."""
        folder = self.own.get(project)
        if folder is None:
            return self.shared.all() if self.shared else ()
        read, bound = self._bound.get(project, ((), ()))
        if folder.all() is not read:
            bound = tuple(bound_to(project, policy) for policy in folder.all())
            self._bound[project] = folder.all(), bound
        return bound

    def _foreign(self, project: str) -> Sequence[str]:
        folder = self.own[project]
        return [
            f"{folder.path}: policy {policy.name} names agents {glob!r}, and these policies are those of project"
            f" {project} alone: leave out what stands before the slash"
            for policy in folder.all()
            for glob in policy.agents
            if SEPARATOR in glob
        ]


@dataclass(frozen=True, slots=True)
class PoliciesOfProject:
    """The policies that may govern the agents of one project; satisfies ``ports.Policies``."""

    policies: ProjectPolicies
    project: str

    @property
    def problems(self) -> Sequence[str]:
        return self.policies.problems

    def all(self) -> Sequence[Policy]:
        return self.policies.those_of(self.project)

    def named(self, name: str) -> Policy:
        return self.policies.named(name)

    def policy_for(self, agent: str) -> Policy | None:
        return self.policies.policy_for(agent)


def bound_to(project: str, policy: Policy) -> Policy:
    """Return ``policy`` as the one of ``project`` alone."""
    globs = tuple(full_name(project, glob) for glob in policy.agents)
    return replace(policy, name=full_name(project, policy.name), agents=globs)
