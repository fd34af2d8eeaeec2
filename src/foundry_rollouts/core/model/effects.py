"""What a policy lets be done to an endpoint and its sessions beside its steps."""

from enum import StrEnum


class Mode(StrEnum):
    """Whether a policy moves anything."""

    ACT = "act"
    OBSERVE = "observe"  #: Everything is judged and nothing is moved: the history says what would have been done.


class OnDrift(StrEnum):
    """What a routing that somebody else changed leads to."""

    PAUSE = "pause"
    RESTORE = "restore"
    ADOPT = "adopt"


class OnAdoption(StrEnum):
    """What happens to weights between several versions when an agent is first seen."""

    KEEP = "keep"  #: They stay until a rollout begins.
    STABLE = "stable"  #: The heaviest version that is named gets everything.


class OnSplit(StrEnum):
    """What happens when new sessions do not follow the weights."""

    HOLD = "hold"  #: The weight stays until they do.
    PAUSE = "pause"
    NOTE = "note"  #: The history says so, and nothing else changes.


class SessionsOnRollback(StrEnum):
    """What happens to live sessions of a canary that is rolled back."""

    KEEP = "keep"
    STOP = "stop"
