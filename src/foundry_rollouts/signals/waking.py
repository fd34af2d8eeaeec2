"""How a source says that a rollout should be looked at now: it saw a failure that may decide."""

from collections.abc import Callable

Wake = Callable[[str], None]  #: Takes the id of a rollout; returns at once.


def nobody(rollout: str) -> None:
    """Wake nobody: the next tick comes when it comes."""
