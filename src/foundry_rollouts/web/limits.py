"""How much may be asked in a while: a bucket for each token, person or address that fills up again by itself."""

from collections import OrderedDict
from datetime import timedelta

#: So many buckets are kept; the one that was used least lately makes room, and begins full when it comes back.
MOST_BUCKETS = 10_000
#: A full bucket holds what comes in so many seconds.
BURST_SECONDS = 10


class Buckets:
    """Buckets that hold ten seconds' worth of requests."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._full = max(1.0, per_second * BURST_SECONDS)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float) -> timedelta | None:
        """Take one request out of the bucket ``name`` at ``now`` seconds; return the wait when it is empty."""
        left, since = self._left.pop(name, (self._full, now))
        left = min(self._full, left + (now - since) * self._per_second)
        wait = None if left >= 1 else timedelta(seconds=(1 - left) / self._per_second)
        self._left[name] = (left if wait else left - 1, now)
        if len(self._left) > MOST_BUCKETS:
            self._left.popitem(last=False)
        return wait
