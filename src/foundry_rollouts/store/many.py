"""What many agents are asked for in one statement."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Row

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]


def padded(values: Sequence[T]) -> list[T]:
    """Return ``values`` with the last one repeated, so that there are 1, 2, 4, 8 ... of them.

    A statement with a list has another text for each length of it, and a server prepares each text by itself.
    """
    missing = (1 << max(len(values) - 1, 0).bit_length()) - len(values)
    return [*values, *list(values[-1:]) * missing]


def by_agent(rows: Iterable[AnyRow]) -> Mapping[str, Sequence[AnyRow]]:
    """Return the rows of each agent, in their order."""
    found = defaultdict[str, list[AnyRow]](list)
    for row in rows:
        found[row.agent].append(row)
    return found
