"""How many sessions each rollout may follow: log streams have one budget, which is shared by need.

Everybody gets one stream for each version, then everybody a second one, and so on; in each round canaries in early
steps come first. What one version may have the other may have too, so that the two stay comparable.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.signals.limits import RateLimiter, cloud_budget

#: Streams that are open at once, unless a setting says otherwise.
MOST = 2000
#: The budget is shared anew this often at most: in between, a rollout keeps what it has.
SHARED_EVERY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Demand:
    """What one rollout could follow: at which step it is, and how many sessions of either version there are.

    A version without any has one stream kept for its first session.
    """

    step: int = 0
    sessions: tuple[int, int] = (1, 1)

    @property
    def most(self) -> int:
        return max(self.sessions)

    @property
    def streams(self) -> int:
        return sum(self.sessions)


def shared(demands: Mapping[str, Demand], budget: int) -> dict[str, int]:
    """Return how many sessions of each version everybody may follow, so that the streams of all are ``budget`` at most.

    Whoever waits is given nothing out of turn: with a larger budget nobody gets less.
    """
    numbers = Counter(number for each in demands.values() for number in each.sessions)
    most = max(numbers, default=0)
    level, left, more = 0, budget, numbers.total() - numbers[0]  # ``more`` versions have sessions beyond the level.
    while level < most and more <= left:
        level, left = level + 1, left - more
        more -= numbers[level]
    allowed = {name: min(level, each.most) for name, each in demands.items()}
    for name, demand in sorted(demands.items(), key=lambda pair: pair[1].step):
        price = sum(number > level for number in demand.sessions)
        if price > left:
            break
        if price:
            allowed[name], left = level + 1, left - price
    return allowed


@dataclass(slots=True)
class Streams:
    """The log streams of this process: who may have how many, and how many are open."""

    now: Callable[[], datetime]
    most: int = MOST
    open: int = 0
    wanted: int = 0  #: So many it would take to follow every session that policies let it follow.
    _demands: dict[str, Demand] = field(default_factory=dict)
    _allowed: dict[str, int] = field(default_factory=dict)
    _shared_at: datetime | None = None
    _is_changed: bool = False

    def want(self, rollout: str, demand: Demand) -> None:
        """Note what a rollout could follow by now."""
        before = self._demands.get(rollout)
        if demand != before:
            self.wanted += demand.streams - (before.streams if before else 0)
            self._demands[rollout] = demand
            self._is_changed = True

    def forget(self, rollout: str) -> None:
        """Leave what a rollout had to the others: it is not watched any more."""
        if demand := self._demands.pop(rollout, None):
            self.wanted -= demand.streams
            self._allowed.pop(rollout, None)
            self._is_changed = True

    def allowed(self, rollout: str, limit: int) -> int:
        """Return how many sessions of each version a rollout may follow, ``limit`` where there is enough for all."""
        share = self._share(rollout)
        return limit if self.is_enough or share is None else min(limit, share)

    def take(self, rollout: str) -> bool:
        """Open a stream; return whether there was one left."""
        is_left = self.open < self.most and (self.is_enough or self._share(rollout) is not None)
        self.open += is_left
        return is_left

    def give_back(self) -> None:
        self.open -= 1

    @property
    def is_enough(self) -> bool:
        return self.wanted <= self.most

    def blindness(self, rollout: str) -> str | None:
        """Say that not one session of each version may be followed; None: at least one is."""
        is_blind = not self.is_enough and self._share(rollout) == 0
        return f"no session is followed: {self._because}" if is_blind else None

    def sight(self, rollout: str) -> str | None:
        """Say how many sessions are followed where there are more; None: all of them, or none at all."""
        share = self._share(rollout)
        if self.is_enough or not share or share >= self._demands[rollout].most:
            return None
        of = self._demands[rollout].most
        return f"logs: at most {share} of {_count(of)} sessions of each version are followed: {self._because}"

    @property
    def _because(self) -> str:
        return f"{_count(self.most)} streams are shared by {_count(len(self._demands))} rollouts"

    def _share(self, rollout: str) -> int | None:
        """Return a rollout's part of what is shared; None: it came since the budget was last shared."""
        if self._is_changed and not self.is_enough and self._is_due():
            self._allowed = shared(self._demands, self.most)
            self._shared_at, self._is_changed = self.now(), False
        return self._allowed.get(rollout)

    def _is_due(self) -> bool:
        # A clock that was set back keeps nobody waiting.
        return self._shared_at is None or not timedelta(0) <= self.now() - self._shared_at < SHARED_EVERY


@dataclass(frozen=True, slots=True)
class LogBudget:
    """What is taken of the cloud to follow logs: requests, so many a second, and streams, so many at once."""

    requests: RateLimiter
    streams: Streams

    @classmethod
    def usual(cls, now: Callable[[], datetime]) -> "LogBudget":
        return cls(cloud_budget(now), Streams(now))


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")
