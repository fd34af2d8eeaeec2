"""Stand-ins for the sessions that prompt agents do not have.

A call that must meet one version of a hosted agent goes to a session of it. A prompt agent has none: the call itself
names the version. What asks by session asks both alike.
"""

from dataclasses import replace
from datetime import UTC, datetime

from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.invocations import Question
from foundry_rollouts.ports import Answer, SessionSeen, SessionStatus

_NEVER = datetime.min.replace(tzinfo=UTC)


class StandIns:
    """Names under which versions of prompt agents are called."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], str] = {}

    def open(self, agent: str, version: str, name: str) -> SessionSeen:
        """Let ``name`` stand for a session of ``version``."""
        self._versions[agent, name] = version
        return SessionSeen(name, version, _NEVER, SessionStatus.ACTIVE)

    def close(self, agent: str, name: str) -> bool:
        """Forget a stand-in; return whether it was one."""
        return self._versions.pop((agent, name), None) is not None

    def addressed(self, question: Question) -> Question:
        """Return ``question`` to the version that its session stands for; to a session of the cloud's as it is."""
        version = self._versions.get((question.agent, question.session or ""))
        return question if version is None else replace(question, session=None, version=version)


def refuse_other_version(question: Question, answer: Answer) -> None:
    """Raise CloudError for a whole answer of another version than the one named, or of nobody knows which.

    It is evidence for neither: perhaps nothing here heeds the version that a call names.
    """
    if question.version in {None, answer.version} or answer.status >= 300 or not answer.is_whole:
        return
    who = f"of version {answer.version}" if answer.version else "that does not say which version gave it,"
    wanted = f"version {question.version} of prompt agent {question.agent}"
    shapes.refuse("responses.create", answer.status, f"a response {who} instead of {wanted}")
