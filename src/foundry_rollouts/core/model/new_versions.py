"""Which versions get a trial when several appear at once."""

from enum import StrEnum


class NewVersions(StrEnum):
    """Which versions get a trial when several appear between two checks."""

    NEWEST = "newest"  #: The newest one; while its build fails, the next older one.
    EACH = "each"  #: One after the other, the oldest first.
