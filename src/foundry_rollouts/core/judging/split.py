"""Whether new sessions follow the weights: a region may ignore them, and a step at 10% then meets nobody, or everybody.

Each new session is a bet on its own: under the weight ``w`` it goes to the canary with the chance ``w``. The claims
are that fewer do, and that more do; either is reported at 100 : 1, however often one checks.
"""

import math
from dataclasses import dataclass, replace

from foundry_rollouts.core.judging.constants import SPLIT_ABOVE, SPLIT_BELOW_PARTS, SPLIT_NONE, SPLIT_ODDS
from foundry_rollouts.core.judging.logarithms import log_sum

MOST_WON = math.log(SPLIT_ODDS) + 2.0
_BELOW = tuple(math.log(part) for part in SPLIT_BELOW_PARTS)
_ABOVE = (-math.log(len(SPLIT_ABOVE) + 1),) * (len(SPLIT_ABOVE) + 1)


@dataclass(frozen=True, slots=True)
class Split:
    """How the new sessions of one stratum were divided at this step."""

    stratum: str
    canary: int = 0
    stable: int = 0
    below: tuple[float, ...] = _BELOW
    above: tuple[float, ...] = _ABOVE

    @property
    def is_ignored(self) -> bool:
        """Whether the sessions do not follow the weight."""
        return max(log_sum(self.below), log_sum(self.above)) >= math.log(SPLIT_ODDS)

    def after(self, canary: int, stable: int, weight: int) -> "Split":
        """Return it after so many new sessions on either version, at ``weight`` percent."""
        if not 0 < weight < 100:
            return self
        share = weight / 100
        more = (*(min(times * share, (1 + share) / 2) for times in SPLIT_ABOVE), 1 - SPLIT_NONE)
        fewer = SPLIT_NONE * share, share / 2
        return replace(
            self,
            canary=self.canary + canary,
            stable=self.stable + stable,
            below=_won(self.below, fewer, share, canary, stable),
            above=_won(self.above, more, share, canary, stable),
        )

    def sentence(self, weight: int) -> str:
        """Return both numbers: "of 44 new sessions 0 went to the canary (0%), where its weight is 10%"."""
        sessions = self.canary + self.stable
        share = round(100 * self.canary / sessions) if sessions else 0
        went = f"of {sessions} new sessions {self.canary} went to the canary ({share}%)"
        pinned = "the split is ignored, or many sessions are pinned to a version"
        return f"{went}, where its weight is {weight}%, seen by {self.stratum}: {pinned}"


def _won(
    capital: tuple[float, ...], claims: tuple[float, ...], share: float, canary: int, stable: int
) -> tuple[float, ...]:
    won = (
        part + canary * math.log(claim / share) + stable * (math.log1p(-claim) - math.log1p(-share))
        for part, claim in zip(capital, claims, strict=True)
    )
    # What is won beyond need would only keep the verdict long after the sessions follow the weight again.
    return tuple(min(part, MOST_WON) for part in won)
