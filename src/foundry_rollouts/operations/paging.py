"""Where a page of a list ends: one more entry is read than is shown, and says whether another page follows."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from foundry_rollouts.errors import NotFoundError

T = TypeVar("T")


def one_more(limit: int | None) -> int | None:
    """Return how many entries to read for a page of ``limit``; None: all."""
    return None if limit is None else limit + 1


def cut(found: Sequence[T], limit: int | None, name: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """Return the page that ``found`` begins with, and the name of its last entry where another page follows."""
    if limit is None or len(found) <= limit:
        return found, None
    return found[:limit], name(found[limit - 1])


def page_behind(
    found: Sequence[T], cursor: str | None, limit: int | None, name: Callable[[T], str]
) -> tuple[Sequence[T], str | None]:
    """Return the page of a list in memory behind the entry that ``cursor`` names, and where the following one begins.

    Raises NotFoundError when there is no such entry. Without a limit, all of them.
    """
    if cursor is not None:
        at = next((number for number, each in enumerate(found) if name(each) == cursor), None)
        if at is None:
            raise NotFoundError(f"there is no {cursor} in this list: begin without a cursor")
        found = found[at + 1 :]
    return cut(found, limit, name)
