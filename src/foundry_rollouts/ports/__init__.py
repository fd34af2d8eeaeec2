"""What the controller and the operations ask of the world, in their own words.

``wiring`` passes the real ones: ``foundry`` is the cloud, ``store`` the memory, ``signals`` the sources.
"""

from foundry_rollouts.ports.access import Identities, Tokens
from foundry_rollouts.ports.brakes import BrakeBook, Brakes
from foundry_rollouts.ports.cloud import (
    HOSTED,
    PROMPT,
    AgentSeen,
    Answer,
    Catalogue,
    Cloud,
    LogLine,
    Sessions,
    SessionSeen,
    SessionStatus,
    VersionSeen,
    VersionStatus,
)
from foundry_rollouts.ports.fleet import Admission, Fleet, FleetStore, LimitsKnown
from foundry_rollouts.ports.log_memory import LogMemory
from foundry_rollouts.ports.notices import News, Notice, NoticeBox, NoticeWork, Targets, TargetShown, TargetState
from foundry_rollouts.ports.outbox import Audience, Backlog, Message, Notifier, Outbox
from foundry_rollouts.ports.people import Acknowledgements, AuditLog
from foundry_rollouts.ports.records import (
    AgentFilter,
    AgentKnown,
    Brief,
    Due,
    Intent,
    Lease,
    Leased,
    Outcome,
    Queue,
    Record,
    Reports,
    RolloutFilter,
    Standing,
)
from foundry_rollouts.ports.serving import Serving
from foundry_rollouts.ports.sign_ins import Directory, SignIns
from foundry_rollouts.ports.store import Choose, Heartbeats, Leases, Readings, Reported, Store, Ticks, Upkeep, Wakes
from foundry_rollouts.ports.world import Calendars, Condition, Health, Policies, ReadinessChecks, Source, Wake, World

__all__ = [
    "HOSTED",
    "PROMPT",
    "Acknowledgements",
    "Admission",
    "AgentFilter",
    "AgentKnown",
    "AgentSeen",
    "Answer",
    "Audience",
    "AuditLog",
    "Backlog",
    "BrakeBook",
    "Brakes",
    "Brief",
    "Calendars",
    "Catalogue",
    "Choose",
    "Cloud",
    "Condition",
    "Directory",
    "Due",
    "Fleet",
    "FleetStore",
    "Health",
    "Heartbeats",
    "Identities",
    "Intent",
    "Lease",
    "Leased",
    "Leases",
    "LimitsKnown",
    "LogLine",
    "LogMemory",
    "Message",
    "News",
    "Notice",
    "NoticeBox",
    "NoticeWork",
    "Notifier",
    "Outbox",
    "Outcome",
    "Policies",
    "Queue",
    "ReadinessChecks",
    "Readings",
    "Record",
    "Reported",
    "Reports",
    "RolloutFilter",
    "Serving",
    "SessionSeen",
    "SessionStatus",
    "Sessions",
    "SignIns",
    "Source",
    "Standing",
    "Store",
    "TargetShown",
    "TargetState",
    "Targets",
    "Ticks",
    "Tokens",
    "Upkeep",
    "VersionSeen",
    "VersionStatus",
    "Wake",
    "Wakes",
    "World",
]
