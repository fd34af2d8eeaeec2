"""Whether an agent is still the one that is known, or was deleted and made again under its name.

The cloud gives each agent marks of its own: ids, and the times at which it and its versions were created. An answer may
leave some out, so that only what both sides tell is compared.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

#: How far two times of one creation may lie apart: some answers round to seconds.
ROUNDING = timedelta(seconds=2)
#: How many versions are remembered with the time at which they were created.
MOST_VERSIONS = 50


@dataclass(frozen=True, slots=True)
class Marks:
    """What tells one agent from another of the same name. None and empty: the cloud did not tell."""

    guid: str | None = None
    principal: str | None = None
    created_at: datetime | None = None
    versions: tuple[tuple[str, datetime | None], ...] = ()  #: Those that are known, each with its time of creation.

    def knows(self, version: str, created_at: datetime | None = None) -> bool:
        """Whether ``version`` is known, and was not created anew since."""
        times = dict(self.versions)
        return version in times and not is_another(times[version], created_at)

    def with_version(self, version: str, created_at: datetime | None) -> "Marks":
        """Return the marks with ``version`` among those that are known."""
        others = tuple(pair for pair in self.versions if pair[0] != version)
        created_at = created_at or dict(self.versions).get(version)
        return replace(self, versions=(*others, (version, created_at))[-MOST_VERSIONS:])

    def completed(self, seen: "Marks") -> "Marks":
        """Return the marks with what ``seen`` tells beside them; the versions stay those that are known."""
        joined = (self.guid or seen.guid, seen.principal or self.principal, self.created_at or seen.created_at)
        if joined == (self.guid, self.principal, self.created_at):
            return self
        return Marks(*joined, self.versions)


NO_MARKS = Marks()  #: Nothing is known.


def is_another(known: datetime | None, seen: datetime | None) -> bool:
    """Whether two times of creation are certainly not of one thing."""
    return known is not None and seen is not None and abs(seen - known) > ROUNDING


def is_same(known: Marks, seen: Marks) -> bool | None:
    """Whether both are of one agent, by the most telling mark that both have; None: nothing tells."""
    for before, now in ((known.guid, seen.guid), (known.principal, seen.principal)):
        if before and now:
            return before.lower() == now.lower()
    if known.created_at and seen.created_at:
        return not is_another(known.created_at, seen.created_at)
    times = dict(known.versions)
    if any(is_another(times.get(version), created_at) for version, created_at in seen.versions):
        return False
    return None


def number(version: str | None) -> int | None:
    """Return a version's place in the numbering of releases; None for an id that is no number."""
    return int(version) if version and version.isascii() and version.isdigit() else None


def goes_back(latest: str | None, known: Iterable[str | None]) -> bool:
    """Whether the latest release has a lower number than one that is known."""
    newest = max((place for version in known if (place := number(version)) is not None), default=None)
    place = number(latest)
    return newest is not None and place is not None and place < newest
