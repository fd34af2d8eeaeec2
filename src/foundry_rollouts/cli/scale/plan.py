"""How large a run is, and what is measured in it."""

from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """What can be measured alone."""

    CURVE = "curve"
    IDLE = "idle"
    LOAD = "load"
    JOIN = "join"
    STORM = "storm"
    FLOOR = "floor"
    AGENTS = "agents"


SIZES = (10, 100, 1_000, 3_000, 10_000)


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a run is."""

    sizes: tuple[int, ...]
    parts: frozenset[Part]
    database: str | None = None
    cadence: float = 30.0
    seconds: float = 30.0  #: Of each window.
    victims: int = 60  #: Canaries that fail one by one, under load; a third of them idle.
    floor_times: int = 2000
    agents: int = 50_000  #: Idle ones, in a database of their own.
    seed: int = 1
    cloud_ms: float = 0.0


#: A run of some seconds, which shows that everything works and nothing else.
QUICK = Plan(sizes=(10,), parts=frozenset(Part), cadence=1.0, seconds=2.0, victims=4, floor_times=50, agents=200)
