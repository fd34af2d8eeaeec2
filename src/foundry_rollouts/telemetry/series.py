"""Series that come and go with agents, and how many agents have any."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from prometheus_client import Counter, Gauge

Labels = tuple[str, ...]

#: Where what agents without series of their own did is counted: a label that is empty is none.
THE_REST = ""


class AgentGauge:
    """The series of one gauge, kept apart by agent, so that those which no longer hold can be taken away."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._held: dict[str, dict[Labels, float]] = {}

    def __contains__(self, agent: str) -> bool:
        return agent in self._held

    def replace(self, agent: str, values: Mapping[Labels, float]) -> None:
        """Let ``agent`` have just these series; keys are the labels behind the agent's. Most stay as they are."""
        held = self._held.get(agent, {})
        if held == values:
            return
        for labels in held.keys() - values.keys():
            self._gauge.remove(agent, *labels)
        for labels, value in values.items():
            if held.get(labels) != value:
                self._gauge.labels(agent, *labels).set(value)
        if values:
            self._held[agent] = dict(values)
        else:
            self._held.pop(agent, None)


class AgentCounter:
    """The series of one counter, kept apart by agent."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._held: dict[str, set[Labels]] = {}

    def __contains__(self, agent: str) -> bool:
        return agent in self._held

    def add(self, agent: str, labels: Labels, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        if agent != THE_REST:
            self._held.setdefault(agent, set()).add(labels)
        self._counter.labels(agent, *labels).inc(amount, exemplar)

    def forget(self, agent: str) -> None:
        for labels in self._held.pop(agent, set()):
            self._counter.remove(agent, *labels)


class Rank(IntEnum):
    """Who has series of its own where there is no room for all: the highest."""

    IDLE = 0  #: No rollout is shown of it.
    CALM = 1
    TROUBLED = 2  #: Somebody has to see to it, or it ended badly.


@dataclass(slots=True)
class Places:
    """Which agents have series of their own: so many, those in trouble before the others."""

    limit: int
    left_out: dict[str, Rank] = field(default_factory=dict)  #: Agents with a rollout, and without a place.
    _seated: dict[str, Rank] = field(default_factory=dict)
    _by_rank: dict[Rank, dict[str, None]] = field(default_factory=lambda: {rank: {} for rank in Rank})

    def __contains__(self, agent: str) -> bool:
        return agent in self._seated

    def rank(self, agent: str) -> Rank:
        """Return the rank that an agent has by now."""
        return self._seated.get(agent) or self.left_out.get(agent) or Rank.IDLE

    @property
    def agents(self) -> tuple[str, ...]:
        """Every agent that has a place, or is counted among those without one."""
        return (*self._seated, *self.left_out)

    def take(self, agent: str, rank: Rank) -> tuple[bool, str | None]:
        """Return whether ``agent`` has a place, and who has lost one to it."""
        loser = None
        if agent not in self._seated and len(self._seated) >= self.limit:
            loser = self._below(rank)
            if loser is None:
                if rank is not Rank.IDLE:
                    self.left_out[agent] = rank
                return False, None
            was = self._seated[loser]
            self.leave(loser)
            if was is not Rank.IDLE:
                self.left_out[loser] = was
        self.leave(agent)
        self._seated[agent] = rank
        self._by_rank[rank][agent] = None
        return True, loser

    def leave(self, agent: str) -> None:
        """Free the place of an agent, and no longer count it among those without one."""
        self.left_out.pop(agent, None)
        rank = self._seated.pop(agent, None)
        if rank is not None:
            del self._by_rank[rank][agent]

    def _below(self, rank: Rank) -> str | None:
        """Return the agent that has had its place longest among those of the lowest rank below that one."""
        return next((next(iter(self._by_rank[each])) for each in Rank if each < rank and self._by_rank[each]), None)


class Departures:
    """Agents whose series go away at a certain time, the earliest first."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}

    def __contains__(self, agent: str) -> bool:
        return agent in self._at

    def set(self, agent: str, at: datetime) -> None:
        self._at.pop(agent, None)
        self._at[agent] = at

    def cancel(self, agent: str) -> None:
        self._at.pop(agent, None)

    def due(self, now: datetime) -> list[str]:
        """Return those whose time has come, each once; who waits behind a later one waits with it."""
        found: list[str] = []
        for agent, at in self._at.items():
            if at > now:
                break
            found.append(agent)
        for agent in found:
            del self._at[agent]
        return found
