"""What the cloud would remember: agents, versions and sessions as frozen records that change by replacement."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

LATEST = "@latest"
SESSION_LIFETIME_SECONDS = 30 * 24 * 3600

VersionStatus = Literal["creating", "active", "failed"]
SessionStatus = Literal["creating", "active", "idle", "failed", "expired"]

DisabledBy = Literal["agent_instance_identity", "agent_blueprint"]
Kind = Literal["hosted", "prompt"]
PublishApproval = Literal["not_published", "pending", "approved", "rejected", "no_approval_needed"]


class AgentKey(NamedTuple):
    """Which agent of which project."""

    project: str
    name: str


class SessionKey(NamedTuple):
    """Which session of which agent."""

    agent: AgentKey
    id: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A principal of the directory."""

    principal_id: str
    client_id: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One share of an endpoint's traffic; ``version`` may be ``@latest``."""

    version: str
    percentage: int


@dataclass(frozen=True, slots=True)
class RoutingChange:
    """Rules that the data plane obeys from ``effective_at`` on, which may lag behind what a read shows."""

    effective_at: float
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """An agent: a name with one endpoint, and a kind that all its versions share."""

    key: AgentKey
    guid: str
    created_at: float
    instance: Identity
    blueprint: Identity
    blueprint_id: str
    endpoint: dict[str, Any]
    served: tuple[RoutingChange, ...]
    card: dict[str, Any] | None = None
    kind: Kind = "hosted"
    is_enabled: bool = True
    last_number: int = 0
    disabled_by: DisabledBy | None = None
    digital_worker_type: str | None = None
    publish_approval_status: PublishApproval | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether its endpoint takes traffic: nobody disabled the agent, nor an identity it needs."""
        return self.is_enabled and self.disabled_by is None


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One immutable build of an agent and how far its provisioning has come.

    ``ready_at`` and ``looks_left`` hold back ``active``; ``is_built`` is false while the build still runs.
    """

    agent: AgentKey
    version: str
    created_at: float
    definition: dict[str, Any]
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    code_hash: str | None = None
    is_draft: bool = False
    status: VersionStatus = "creating"
    error: dict[str, Any] | None = None
    is_built: bool = False
    ready_at: float = 0.0
    looks_left: int = 0


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session and the version it is bound to; ``is_pinned`` when the caller named that version."""

    key: SessionKey
    version: str
    created_at: float
    last_accessed_at: float
    is_pinned: bool = False
    status: SessionStatus = "creating"
    stopped_at: float | None = None
    user: str | None = None

    @property
    def expires_at(self) -> float:
        """When it is gone for good: thirty days after its last use."""
        return self.last_accessed_at + SESSION_LIFETIME_SECONDS
