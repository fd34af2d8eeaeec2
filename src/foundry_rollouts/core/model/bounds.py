"""Where a number must lie: in absolute terms, and beside the stable version's."""

from dataclasses import dataclass

from foundry_rollouts.errors import UsageError


@dataclass(frozen=True, slots=True)
class Bounds:
    """The number that sources call ``name``; ``at_least`` and ``at_most`` are multiples of stable's.

    So many ``windows`` in a row decide. This is a fixed rule, for numbers that are no shares of calls: it promises
    nothing about how often a harmless canary breaks it.
    """

    name: str
    min: float | None = None
    max: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    windows: int = 3

    def __post_init__(self) -> None:
        if (self.min, self.max, self.at_least, self.at_most) == (None, None, None, None):
            raise UsageError(f"value {self.name} has no bound: name min, max, at-least or at-most")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise UsageError(f"value {self.name}: min lies above max, no number could lie between")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise UsageError(f"value {self.name}: at-least lies above at-most, no number could lie between")
        if self.windows < 1:
            raise UsageError(f"value {self.name}: at least one window has to decide")

    @property
    def is_relative(self) -> bool:
        return self.at_least is not None or self.at_most is not None

    def violation(self, canary: float, stable: float | None) -> str | None:
        """Say how ``canary`` lies out of bounds; None when it does not."""
        if self.min is not None and canary < self.min:
            return f"{canary:g} is below {self.min:g}"
        if self.max is not None and canary > self.max:
            return f"{canary:g} is above {self.max:g}"
        if stable is None:
            return None
        if self.at_least is not None and canary < self.at_least * stable:
            return f"{canary:g} is below {self.at_least:g}x stable's {stable:g}"
        if self.at_most is not None and canary > self.at_most * stable:
            return f"{canary:g} is above {self.at_most:g}x stable's {stable:g}"
        return None
