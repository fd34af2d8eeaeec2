"""What stable is thought to fail at."""

from dataclasses import dataclass

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import (
    FRESH_CALLS,
    GUESSED_CALLS,
    GUESSED_FAILURES,
    HALF_LIFE,
    HIGHEST_GUESS,
    KNOWN_AFTER_CALLS,
    LOWEST_GUESS,
    PRIOR_CALLS,
)


@dataclass(frozen=True, slots=True)
class StableEstimate:
    """What stable is thought to fail at, from calls that fade with age; if wrong it costs time, not truth."""

    failures: float = 0.0
    calls: float = 0.0
    old_failures: float = 0.0  #: Of before the trial; these fade once enough of now is known.
    old_calls: float = 0.0
    fresh: float = 0.0  #: Calls of the trial, all of them, up to as many as let the old ones fade.

    @property
    def rate(self) -> float:
        return plausible(
            (self.failures + self.old_failures + GUESSED_FAILURES) / (self.calls + self.old_calls + GUESSED_CALLS)
        )

    @property
    def known(self) -> float | None:
        """What stable failed at for sure, rather too little than too much; None where too little was seen of it."""
        calls = self.calls + self.old_calls
        if calls < KNOWN_AFTER_CALLS:
            return None
        return plausible(min(self.rate, (self.failures + self.old_failures) / calls))

    def after(self, batch: Tally, seconds: float) -> "StableEstimate":
        """Return the guess once ``batch``, closed by an interval of ``seconds``, is known too.

        What is known from before the trial stays until 200 calls of now are known, and then fades with the rest: a bad
        hour of last week would otherwise be held for normal all along (``statistics.md``, 10.10).
        """
        kept = 0.5 ** (seconds / HALF_LIFE)
        old = kept if self.fresh >= FRESH_CALLS else 1.0
        return StableEstimate(
            failures=self.failures * kept + batch.stable_failures,
            calls=self.calls * kept + batch.stable_calls,
            old_failures=self.old_failures * old,
            old_calls=self.old_calls * old,
            fresh=min(self.fresh + batch.stable_calls, FRESH_CALLS),
        )


def estimate_from(history: Tally | None) -> StableEstimate:
    """Return what is known before the first interval: ``history``, which counts as 500 calls at most."""
    if history is None or not history.stable_calls:
        return StableEstimate()
    part = min(1.0, PRIOR_CALLS / history.stable_calls)
    return StableEstimate(old_failures=part * history.stable_failures, old_calls=part * history.stable_calls)


def plausible(rate: float) -> float:
    """Return the rate at which stable is thought to fail: nothing fails always or never."""
    return min(max(rate, LOWEST_GUESS), HIGHEST_GUESS)
