"""Text and JSON in the form that both databases can keep.

PostgreSQL takes no NUL and no half of a surrogate pair, and JSON has no infinities. All three can arrive from outside,
in the text of an error say, and must never be the reason why a rollback is not recorded.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType, NoneType
from typing import Any

from foundry_rollouts.untrusted import clean

#: Members that tell in words what happened, as others may have put it: no secret and no hidden character stays.
HISTORY_FIELDS = frozenset({"because", "trouble", "causes"})
_AS_IT_IS = frozenset({int, bool, NoneType})
NO_NAMES: Mapping[str, str] = MappingProxyType({})


def plain_text(text: str) -> str:
    """Return ``text`` with a replacement character for each one that cannot be kept."""
    if "\0" not in text and text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def plain_json(value: Any, names: Mapping[str, str] = NO_NAMES) -> Any:
    """Return a JSON value with plain texts, and numbers that are not finite as words that read as such.

    What ``names`` has another name for is called so. It passes over each value that is written, at every tick.
    """
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is str:
        return plain_text(value)
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if kind is dict:
        return {
            names.get(key) or plain_text(str(key)): (
                history_text(each, names)
                if key in HISTORY_FIELDS
                else each
                if type(each) in _AS_IT_IS
                else plain_json(each, names)
            )
            for key, each in value.items()
        }
    if kind is list or kind is tuple:
        return [each if type(each) in _AS_IT_IS else plain_json(each, names) for each in value]
    return plain_text(value) if isinstance(value, str) else value


def history_text(value: Any, names: Mapping[str, str] = NO_NAMES) -> Any:
    """Return words about what happened, or what holds such words, as they may be kept."""
    if isinstance(value, str):
        return _kept(value)
    if isinstance(value, list | tuple):
        return [history_text(each, names) for each in value]
    return plain_json(value, names)


@lru_cache(maxsize=4096)
def _kept(words: str) -> str:
    """Return ``words`` as they may be kept; most are said again and again, and it takes long to search them."""
    return clean(words)
