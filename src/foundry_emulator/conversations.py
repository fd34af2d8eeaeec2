"""Conversations: names under which a caller finds the same session again, kept across restarts."""

from dataclasses import asdict, dataclass, field, replace

from foundry_emulator.errors import FoundryError
from foundry_emulator.records import AgentKey, SessionKey
from foundry_emulator.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of a project; ``sessions`` names the session each agent has bound to it."""

    project: str
    id: str
    created_at: float
    metadata: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)

    def session_of(self, agent: AgentKey) -> SessionKey | None:
        """Return the session bound for this agent, or None before its first call."""
        session = self.sessions.get(agent.name)
        return SessionKey(agent, session) if session else None


class Conversations:
    """All conversations, in memory and in the snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._known: dict[tuple[str, str], Conversation] = {}

    def load(self) -> None:
        """Read what an earlier run left."""
        for document in self._snapshot.documents("conversation"):
            conversation = Conversation(**document)
            self._known[conversation.project, conversation.id] = conversation

    def clear(self) -> None:
        """Forget them all; the snapshot is cleared by its owner."""
        self._known.clear()

    def put(self, conversation: Conversation) -> Conversation:
        """Keep a conversation in place of its earlier record."""
        key = (conversation.project, conversation.id)
        self._known[key] = conversation
        self._snapshot.write("conversation", key, asdict(conversation))
        return conversation

    def conversation(self, project: str, name: str) -> Conversation:
        """Return one conversation, or raise the 404."""
        found = self._known.get((project, name))
        if found is None:
            raise FoundryError(404, "not_found", f"Conversation '{name}' not found", "conversation")
        return found

    def bind(self, conversation: Conversation, session: SessionKey) -> None:
        """Let this session answer for the agent's part of the conversation from now on."""
        self.put(replace(conversation, sessions={**conversation.sessions, session.agent.name: session.id}))

    def drop(self, conversation: Conversation) -> None:
        """Forget one conversation."""
        key = (conversation.project, conversation.id)
        del self._known[key]
        self._snapshot.erase("conversation", key)
