"""Text and JSON in the form that both databases can keep.

PostgreSQL takes no NUL and no half of a surrogate pair, and JSON has no infinities. All three can arrive from outside,
in the text of an error say, and must never be the reason why a rollback is not recorded.
"""

import math
from typing import Any

from foundry_rollouts.untrusted import clean

#: Members that tell in words what happened, as others may have put it: no secret and no hidden character stays.
_HISTORY_FIELDS = frozenset({"because", "trouble", "causes"})


def plain_text(text: str) -> str:
    """Return ``text`` with a replacement character for each one that cannot be kept."""
    if "\0" not in text and text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def plain_json(value: Any) -> Any:
    """Return a JSON value with plain texts, and numbers that are not finite as words that read as such."""
    match value:
        case str():
            return plain_text(value)
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {
                plain_text(str(key)): history_text(each) if key in _HISTORY_FIELDS else plain_json(each)
                for key, each in value.items()
            }
        case list() | tuple():
            return [plain_json(each) for each in value]
        case _:
            return value


def history_text(value: Any) -> Any:
    """Return words about what happened, or what holds such words, as they may be kept."""
    match value:
        case str():
            return clean(value)
        case list() | tuple():
            return [history_text(each) for each in value]
        case _:
            return plain_json(value)
