"""What two sets of policies differ in, key by key as a file would say them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: What a key is in a set that does not have it.
ABSENT = None


class Change(StrEnum):
    """What becomes of one policy."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Stated:
    """One policy as a set has it: its hash, and what it says with every default written out."""

    hash: str
    written: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key that says something else, as ``steps.2.weight``; None: it is not there."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What becomes of one policy, by name."""

    name: str
    change: Change
    before: str | None = None  #: Its hash; None: it was not there.
    after: str | None = None
    keys: tuple[KeyChange, ...] = ()


def compare(before: Mapping[str, Stated], after: Mapping[str, Stated]) -> tuple[PolicyChange, ...]:
    """Return what becomes of each policy of either set, by name.

    A policy whose hash is another one and whose keys say the same has other prompts.
    """
    return tuple(_change(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys()))


def is_any(changes: Sequence[PolicyChange]) -> bool:
    """Whether the sets differ."""
    return any(each.change is not Change.UNCHANGED for each in changes)


def _change(name: str, old: Stated | None, new: Stated | None) -> PolicyChange:
    if old is None or new is None:
        change = Change.ADDED if old is None else Change.REMOVED
        return PolicyChange(name, change, old.hash if old else None, new.hash if new else None)
    if old.hash == new.hash:
        return PolicyChange(name, Change.UNCHANGED, old.hash, new.hash)
    keys = tuple(_keys("", old.written, new.written)) or (KeyChange("sources.probe.prompts", old.hash, new.hash),)
    return PolicyChange(name, Change.CHANGED, old.hash, new.hash, keys)


def _keys(where: str, old: Any, new: Any) -> Iterator[KeyChange]:
    """Yield each key below ``where`` that says something else; places in lists are counted from 1."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in (*old, *(name for name in new if name not in old)):
            yield from _keys(f"{where}.{name}".lstrip("."), old.get(name, ABSENT), new.get(name, ABSENT))
    elif _is_row(old) and _is_row(new) and any(isinstance(each, Mapping) for each in (*old, *new)):
        for place in range(max(len(old), len(new))):
            yield from _keys(f"{where}.{place + 1}", _at(old, place), _at(new, place))
    elif old != new:
        yield KeyChange(where, old, new)


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _at(row: Sequence[Any], place: int) -> Any:
    return row[place] if place < len(row) else ABSENT
