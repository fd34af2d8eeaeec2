"""How urgent the calls are that are made to the cloud just now; whoever carries them goes by it.

It holds for everything that is awaited within, so that no port has to name it in every method.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum


class Priority(StrEnum):
    """What a call may be made to wait for."""

    USUAL = "usual"  #: The usual pace.
    INTERACTIVE = "interactive"  #: A decision waits for it: rather no answer than a late one.
    ROLLBACK = "rollback"  #: It takes a canary back: it waits for nobody, and others give way.


_PRESENT = ContextVar("urgency", default=Priority.USUAL)


def present_priority() -> Priority:
    return _PRESENT.get()


@contextmanager
def at_priority(urgency: Priority) -> Iterator[None]:
    """Make every call within as urgent as that."""
    before = _PRESENT.set(urgency)
    try:
        yield
    finally:
        _PRESENT.reset(before)
