"""Which versions get a trial when several appear, at once or one during the trial of another."""

from enum import StrEnum


class NewVersions(StrEnum):
    """Which versions get a trial when several appear between two checks."""

    NEWEST = "newest"  #: The newest one; while its build fails, the next older one.
    EACH = "each"  #: One after the other, the oldest first.


class OnNewVersion(StrEnum):
    """What a version that appears while another is on trial leads to."""

    QUEUE = "queue"  #: It waits until the trial has ended.
    SUPERSEDE = "supersede"  #: Once it is active it takes the trial's place, from the stable version on.
