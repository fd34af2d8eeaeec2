"""The only reader of the time."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


def elapsed() -> float:
    """Return the seconds of a clock that is never set; only differences mean anything."""
    return time.monotonic()
