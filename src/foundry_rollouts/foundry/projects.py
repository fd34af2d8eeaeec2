"""Several projects as one cloud: agents are named ``project/agent``, and each call goes to the agent's own project.

Each project has a client of its own: its own address, login, connections, retries and priorities. What one of them
does is no matter of the others.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from foundry_rollouts.core.model.agent_names import full_name, plain_name, project_in
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.ports import AgentSeen, Answer, LogLine, SessionSeen, VersionSeen

if TYPE_CHECKING:
    from foundry_rollouts import ports

UNWATCHED = "project_not_watched"  #: Code of what is asked of a project that no client is for.


@dataclass(frozen=True, slots=True)
class Projects:
    """Answers the ports ``Cloud`` and ``Sessions`` for the agents of ``clients``, by the name of their project."""

    clients: Mapping[str, FoundryClient]
    listed: Sequence[str] | None = field(default=None)  #: Whose agents are listed; None: those of all.

    def listing(self, project: str) -> "Projects":
        """Return the same cloud, which lists the agents of ``project`` alone."""
        return replace(self, listed=(project,))

    async def aclose(self) -> None:
        for client in self.clients.values():
            await client.aclose()

    async def agents(self) -> AsyncGenerator[AgentSeen, None]:
        """Yield every agent; what is listed without a name has none here either."""
        for project in self.clients if self.listed is None else self.listed:
            async with aclosing(self.clients[project].agents()) as agents:
                async for agent in agents:
                    yield _named(project, agent)

    async def agent(self, name: str) -> AgentSeen:
        return _named(project_in(name), await self._of(name).agent(plain_name(name)))

    async def version(self, agent: str, version: str) -> VersionSeen:
        return await self._of(agent).version(plain_name(agent), version)

    async def versions(self, agent: str) -> Sequence[VersionSeen]:
        return await self._of(agent).versions(plain_name(agent))

    async def route(self, agent: str, routing: Routing) -> bool:
        return await self._of(agent).route(plain_name(agent), routing)

    async def put_back(
        self, agent: str, routing: Routing, before: str, after: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return await self._of(agent).put_back(plain_name(agent), routing, before, after)

    async def enable(self, agent: str) -> None:
        await self._of(agent).enable(plain_name(agent))

    async def disable(self, agent: str) -> None:
        await self._of(agent).disable(plain_name(agent))

    async def sessions(self, agent: str) -> AsyncGenerator[SessionSeen, None]:
        async with aclosing(self._of(agent).sessions(plain_name(agent))) as sessions:
            async for session in sessions:
                yield session

    async def open_session(self, agent: str, version: str, session: str) -> SessionSeen:
        return await self._of(agent).open_session(plain_name(agent), version, session)

    async def stop_session(self, agent: str, session: str) -> None:
        await self._of(agent).stop_session(plain_name(agent), session)

    async def delete_session(self, agent: str, session: str) -> None:
        await self._of(agent).delete_session(plain_name(agent), session)

    async def ask(self, agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        return await self._of(agent).ask(plain_name(agent), session, question, timeout, stream=stream)

    async def ask_version(
        self, agent: str, version: str, question: Any, timeout: timedelta, *, stream: bool = False
    ) -> Answer:
        return await self._of(agent).ask_version(plain_name(agent), version, question, timeout, stream=stream)

    async def log_lines(self, agent: str, version: str, session: str) -> AsyncGenerator[LogLine, None]:
        async with aclosing(self._of(agent).log_lines(plain_name(agent), version, session)) as lines:
            async for line in lines:
                yield line

    def _of(self, agent: str) -> FoundryClient:
        """Return the client of the agent's project. Raises CloudError where that is not watched."""
        if (client := self.clients.get(project_in(agent))) is not None:
            return client
        project = project_in(agent)
        named = f"project {project} is not" if project else f"agent {agent} names no project that is"
        why = f"{named} among FOUNDRY_ROLLOUTS_PROJECTS ({', '.join(self.clients)}): nobody watches its agents"
        raise CloudError("projects", Refusal(None, UNWATCHED, why))


def _named(project: str, agent: AgentSeen) -> AgentSeen:
    return replace(agent, name=full_name(project, agent.name)) if agent.name else agent


if TYPE_CHECKING:

    def _answers_every_port(projects: Projects) -> tuple[ports.Cloud, ports.Sessions, ports.Catalogue]:
        return projects, projects, projects
