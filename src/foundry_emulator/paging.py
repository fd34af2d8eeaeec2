"""Lists as the cloud pages them: cursors are object ids, and ``last_id`` stays on the last page.

The official pager ignores ``has_more`` and asks on as long as ``last_id`` is set, so ``after`` the last object must
give an empty page without cursors, or it would never end.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from foundry_emulator.errors import invalid

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

DIGITS = re.compile(
    r"[0-9]{1,9}"
)  #: What ``int`` reads besides, digits of other scripts and any number of them, is none.

Item = TypeVar("Item")


def page(
    oldest_first: Sequence[Item],
    query: Mapping[str, str],
    cursor_of: Callable[[Item], str],
    view: Callable[[Item], dict[str, Any]],
) -> dict[str, Any]:
    """Return one page envelope; ``query`` may hold limit, order, after and before."""
    items = list(oldest_first) if _order(query) == "asc" else list(reversed(oldest_first))
    limit = _limit(query)
    if "after" in query:
        items = items[_index(items, query["after"], cursor_of, "after") + 1 :]
    shown = items[:limit]
    if "before" in query:
        items = items[: _index(items, query["before"], cursor_of, "before")]
        shown = items[-limit:]
    return {
        "object": "list",
        "data": [view(item) for item in shown],
        "first_id": cursor_of(shown[0]) if shown else None,
        "last_id": cursor_of(shown[-1]) if shown else None,
        "has_more": len(items) > limit,
    }


def _order(query: Mapping[str, str]) -> str:
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid(f"Invalid value '{order}' for 'order': expected 'asc' or 'desc'.", "order")
    return order


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise invalid(f"Invalid value '{text}' for 'limit': expected 1 to {MAX_LIMIT}.", "limit")
    return int(text)


def _index(items: Sequence[Item], cursor: str, cursor_of: Callable[[Item], str], param: str) -> int:
    for index, item in enumerate(items):
        if cursor_of(item) == cursor:
            return index
    raise invalid(f"No object '{cursor}' to page from.", param)
