"""All records of the emulated cloud, in memory for reading and in the snapshot for the next start."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from foundry_emulator.errors import not_found
from foundry_emulator.records import (
    LATEST,
    AgentKey,
    AgentRecord,
    Identity,
    RoutingChange,
    Rule,
    SessionKey,
    SessionRecord,
    VersionRecord,
)
from foundry_emulator.snapshot import Snapshot


class State:
    """Agents, their versions and sessions, each in order of creation."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._agents: dict[AgentKey, AgentRecord] = {}
        self._versions: dict[AgentKey, dict[str, VersionRecord]] = {}
        self._sessions: dict[AgentKey, dict[str, SessionRecord]] = {}

    def load(self) -> None:
        """Read what an earlier run left; its sandboxes are gone, so live sessions are idle now."""
        for document in sorted(self._snapshot.documents("agent"), key=lambda each: each["created_at"]):
            self._keep_agent(_agent_of(document))
        for document in sorted(self._snapshot.documents("version"), key=lambda each: each["created_at"]):
            version = VersionRecord(**{**document, "agent": AgentKey(*document["agent"])})
            self._versions[version.agent][version.version] = version
        for document in sorted(self._snapshot.documents("session"), key=lambda each: each["created_at"]):
            session = _session_of(document)
            self._sessions[session.key.agent][session.key.id] = session

    def clear(self) -> None:
        """Forget everything, on disk too."""
        self._snapshot.clear()
        self._agents.clear()
        self._versions.clear()
        self._sessions.clear()

    def agents(self, project: str) -> list[AgentRecord]:
        """Return the agents of one project."""
        return [agent for key, agent in self._agents.items() if key.project == project]

    def agent(self, key: AgentKey) -> AgentRecord:
        """Return one agent, or raise the cloud's 404."""
        agent = self._agents.get(key)
        if agent is None:
            raise not_found(f"Agent '{key.name}' not found")
        return agent

    def has_agent(self, key: AgentKey) -> bool:
        """Tell whether the agent exists."""
        return key in self._agents

    def every_agent(self) -> Iterator[AgentRecord]:
        """Yield the agents of all projects."""
        yield from self._agents.values()

    def agent_of_principal(self, principal: str) -> AgentRecord | None:
        """Return the agent whose instance or blueprint this principal is, or None."""
        for agent in self._agents.values():
            if principal in (agent.instance.principal_id, agent.blueprint.principal_id):
                return agent
        return None

    def put_agent(self, agent: AgentRecord) -> AgentRecord:
        """Keep an agent in place of its earlier record."""
        self._keep_agent(agent)
        self._snapshot.write("agent", agent.key, asdict(agent))
        return agent

    def drop_agent(self, key: AgentKey) -> None:
        """Forget an agent with all it owns."""
        for session in self.sessions(key):
            self.drop_session(session.key)
        for version in self.versions(key):
            self.drop_version(version)
        del self._agents[key], self._versions[key], self._sessions[key]
        self._snapshot.erase("agent", key)

    def versions(self, key: AgentKey) -> list[VersionRecord]:
        """Return every version of an agent, drafts included."""
        return list(self._versions[key].values())

    def every_version(self) -> Iterator[VersionRecord]:
        """Yield the versions of all agents."""
        for versions in self._versions.values():
            yield from versions.values()

    def version(self, key: AgentKey, version: str) -> VersionRecord:
        """Return one version, or raise the cloud's 404."""
        self.agent(key)
        found = self._versions[key].get(version)
        if found is None:
            raise not_found(f"Version '{version}' of agent '{key.name}' not found")
        return found

    def has_version(self, key: AgentKey, version: str) -> bool:
        """Tell whether the agent exists and has this version."""
        return version in self._versions.get(key, {})

    def put_version(self, version: VersionRecord) -> VersionRecord:
        """Keep a version in place of its earlier record."""
        self._versions[version.agent][version.version] = version
        self._snapshot.write("version", (*version.agent, version.version), asdict(version))
        return version

    def drop_version(self, version: VersionRecord) -> None:
        """Forget one version."""
        del self._versions[version.agent][version.version]
        self._snapshot.erase("version", (*version.agent, version.version))

    def latest(self, key: AgentKey) -> VersionRecord | None:
        """Return the newest release whatever its status, or None for an agent without releases."""
        releases = [each for each in self._versions[key].values() if not each.is_draft]
        return releases[-1] if releases else None

    def routed(self, key: AgentKey, version: str) -> VersionRecord | None:
        """Return what a rule stands for now: ``@latest`` is the newest active release, if there is one."""
        if version != LATEST:
            return self._versions[key].get(version)
        active = [each for each in self._versions[key].values() if each.status == "active" and not each.is_draft]
        return active[-1] if active else self.latest(key)

    def sessions(self, key: AgentKey) -> list[SessionRecord]:
        """Return the sessions of an agent."""
        return list(self._sessions[key].values())

    def session(self, key: SessionKey) -> SessionRecord | None:
        """Return one session, or None."""
        return self._sessions.get(key.agent, {}).get(key.id)

    def put_session(self, session: SessionRecord) -> SessionRecord:
        """Keep a session in place of its earlier record."""
        self._sessions[session.key.agent][session.key.id] = session
        self._snapshot.write("session", (*session.key.agent, session.key.id), asdict(session))
        return session

    def touch_session(self, key: SessionKey, now: float) -> None:
        """Note a use of the session; only memory knows, for this happens on every call."""
        session = self._sessions.get(key.agent, {}).get(key.id)
        if session is not None:
            self._sessions[key.agent][key.id] = replace(session, last_accessed_at=now)

    def drop_session(self, key: SessionKey) -> None:
        """Forget one session; an unknown one is no error."""
        if self._sessions.get(key.agent, {}).pop(key.id, None) is not None:
            self._snapshot.erase("session", (*key.agent, key.id))

    def _keep_agent(self, agent: AgentRecord) -> None:
        self._agents[agent.key] = agent
        self._versions.setdefault(agent.key, {})
        self._sessions.setdefault(agent.key, {})


def _agent_of(document: dict[str, Any]) -> AgentRecord:
    served = (RoutingChange(each["effective_at"], _rules_of(each["rules"])) for each in document["served"])
    settled = {
        "key": AgentKey(*document["key"]),
        "instance": Identity(**document["instance"]),
        "blueprint": Identity(**document["blueprint"]),
        "served": tuple(served),
    }
    return AgentRecord(**{**document, **settled})


def _rules_of(documents: list[dict[str, Any]]) -> tuple[Rule, ...]:
    return tuple(Rule(**each) for each in documents)


def _session_of(document: dict[str, Any]) -> SessionRecord:
    agent, session_id = document["key"]
    session = SessionRecord(**{**document, "key": SessionKey(AgentKey(*agent), session_id)})
    return replace(session, status="idle") if session.status in ("creating", "active") else session
