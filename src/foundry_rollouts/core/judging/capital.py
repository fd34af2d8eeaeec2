"""Evidence about one gate from one source: is the canary worse than tolerated, is it better than bad.

Every batch of counts is a small experiment of its own; its bets (``bets.py``) multiply the capital won so
far. Counts are never pooled over time, weights or sources, so an outage that both versions share proves
nothing. Capital that starts at 1 and plays fair bets reaches ``1/alpha`` with a chance of at most ``alpha``
(Ville's inequality), however often one checks: that is the whole guarantee. Capital is kept as natural
logarithms.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum, auto

from foundry_rollouts.core.judging.batches import Tally, next_batch
from foundry_rollouts.core.judging.bets import Bet, harm_bets, ladder_bets, safe_bets
from foundry_rollouts.core.judging.constants import (
    HARM_POSITIONS,
    LADDER,
    MINUTE,
    SAFE_POSITIONS,
    STAKED_AT_START,
    STAKED_EACH_MINUTE,
    STAKED_EACH_WEIGHT,
)
from foundry_rollouts.core.judging.estimate import StableEstimate, estimate_from, plausible
from foundry_rollouts.core.judging.logarithms import log_sum
from foundry_rollouts.core.model.policy import Margin

NEVER = 1_000_000_000  #: More calls than any rollout sees.


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """What is bet against: harm against all within ``tolerate``, safety against all that is ``bad``."""

    tolerate: Margin
    bad: Margin
    cluster: float = 1.0  #: So many calls fail together at most: logarithms of bets are divided by it.


@dataclass(frozen=True, slots=True)
class Capital:
    """What is won so far: the part staked on each claim, the cash, and the seconds into the current minute.

    Half is held back as cash and staked little by little on "it broke just now": a failure after a long quiet
    time has only the last stake to make up for, not all that was lost before.
    """

    staked: tuple[float, ...] = (math.log(STAKED_AT_START / len(HARM_POSITIONS)),) * len(HARM_POSITIONS)
    cash: float = math.log(1 - STAKED_AT_START)
    clock: float = 0.0

    @property
    def log(self) -> float:
        """All of it, as a natural logarithm."""
        return log_sum((self.cash, *self.staked))

    def stake(self, share: float, times: int = 1) -> "Capital":
        """Return the capital after ``share`` of the cash was spread over the claims, so many ``times``."""
        kept = times * math.log1p(-share)
        each = self.cash + math.log(-math.expm1(kept) / len(self.staked))
        return Capital(tuple([log_sum((part, each)) for part in self.staked]), self.cash + kept, self.clock)

    def later(self, seconds: float) -> "Capital":
        """Return the capital ``seconds`` later: each full minute has moved its stake."""
        elapsed = self.clock + seconds
        # The nudge lets six hundred tenths of a second make a minute in spite of their rounding.
        minutes = math.floor(elapsed / MINUTE + 1e-9)
        on = Capital(self.staked, self.cash, elapsed - minutes * MINUTE)
        return on.stake(STAKED_EACH_MINUTE, times=minutes) if minutes else on


class Use(Enum):
    """What an interval is good for."""

    ALL = auto()
    TROUBLED = auto()  #: Both versions are in trouble: it may show harm, and what it shows of safety is no proof.
    NONE = auto()  #: Nothing is bet on it: the canary warms up.


@dataclass(frozen=True, slots=True)
class EProcess:
    """The evidence of one gate from one source, and all it needs to go on."""

    harm: Capital = Capital()
    safe: tuple[float, ...] = (-math.log(len(SAFE_POSITIONS)),) * len(SAFE_POSITIONS)
    ladder: tuple[float, ...] = (0.0,) * len(LADDER)
    guess: StableEstimate = StableEstimate()
    waiting: tuple[Tally, ...] = ()  #: Intervals that are no batch yet, oldest first.
    in_trouble: tuple[float, ...] = (0.0,) * len(SAFE_POSITIONS)  #: What of ``safe`` was won in shared trouble.

    @property
    def harm_log(self) -> float:
        """The evidence that the canary is worse than tolerated."""
        return self.harm.log

    @property
    def safe_log(self) -> float:
        """The evidence, won at the present weight, that the canary is better than bad."""
        return log_sum(self.safe)

    @property
    def proof(self) -> tuple[float, ...]:
        """The capital of safety that was won in calm times: in an outage equal versions seem safe too soon."""
        return tuple(won - part for won, part in zip(self.safe, self.in_trouble, strict=True))

    @property
    def proof_log(self) -> float:
        """The evidence of safety that a step may rest on."""
        return log_sum(self.proof)

    def at_most_worse(self, missed_bad: float) -> float | None:
        """Return how much worse than stable the canary is at most, a fraction; None when none is proved."""
        proved = (margin for margin, won in zip(LADDER, self.ladder, strict=True) if won >= -math.log(missed_bad))
        return min(proved, default=None)


def begin(history: Tally | None = None) -> EProcess:
    """Return the evidence before the first interval: none.

    ``history`` is what stable is known for from before the trial; it counts as 500 calls at most.
    """
    return EProcess(guess=estimate_from(history))


def reweighted(process: EProcess) -> EProcess:
    """Return the evidence after a change of weight, before the first interval at the new one.

    What waits is dropped, for its calls were divided otherwise; a stake goes on "the new weight broke it"; safety must
    be proved again.
    """
    return replace(
        process,
        harm=process.harm.stake(STAKED_EACH_WEIGHT),
        safe=begin().safe,
        in_trouble=begin().in_trouble,
        waiting=(),
    )


def observed(process: EProcess, bets: Hypotheses, tally: Tally, seconds: float, use: Use = Use.ALL) -> EProcess:
    """Return the evidence after one more interval, ``seconds`` long, in which ``tally`` was counted.

    What stable fails at is learnt from every batch, whatever the ``use`` of the interval.
    """
    batch, waiting = next_batch(process.waiting, tally)
    won, guess = process, process.guess
    if batch is not None:
        won = process if use is Use.NONE else _settle_batch(process, bets, batch, use)
        guess = guess.after(batch, seconds)
    return EProcess(won.harm.later(seconds), won.safe, won.ladder, guess, waiting, won.in_trouble)


def _settle_batch(process: EProcess, bets: Hypotheses, batch: Tally, use: Use) -> EProcess:
    expected = process.guess.rate, batch.canary_calls, batch.stable_calls
    harm, cluster = process.harm, bets.cluster
    safe = safe_bets(bets.bad, *expected)
    is_troubled = use is Use.TROUBLED
    return EProcess(
        harm=Capital(accrued(harm.staked, harm_bets(bets.tolerate, *expected), batch, cluster), harm.cash, harm.clock),
        safe=accrued(process.safe, safe, batch, cluster),
        ladder=accrued(process.ladder, ladder_bets(*expected), batch, cluster),
        guess=process.guess,
        waiting=process.waiting,
        in_trouble=accrued(process.in_trouble, safe, batch, cluster) if is_troubled else process.in_trouble,
    )


def accrued(capital: tuple[float, ...], placed: tuple[Bet, ...], batch: Tally, cluster: float) -> tuple[float, ...]:
    """Return each part of ``capital`` after its bet; calls that fail in clusters count for so much less."""
    canary, canary_failures, stable, stable_failures = batch.counts
    canary_well, stable_well = canary - canary_failures, stable - stable_failures
    return tuple(
        [
            part + (canary_failures * a + canary_well * b + (stable_failures * c + stable_well * d)) / cluster
            for part, (a, b, c, d) in zip(capital, placed, strict=True)
        ]
    )


def calls_needed(process: EProcess, bets: Hypotheses, goal: float, canary_share: float) -> int:
    """Return about how many more canary calls prove safety, if the canary is just as good as stable.

    Args:
        process: the evidence so far.
        bets: what is bet against.
        goal: the evidence that proves it, as a natural logarithm.
        canary_share: the canary's share of all calls, between 0 and 1.

    Returns:
        0 when it is proved already; ``NEVER`` where nothing can be proved.
    """
    if process.proof_log >= goal:
        return 0
    gains = _safe_gains(process.guess.rate, canary_share, bets)
    calls = min(takes(goal - won, gain) for won, gain in zip(process.proof, gains, strict=True))
    return NEVER if math.isinf(calls) else math.ceil(min(calls * canary_share, NEVER))


def samples_to_prove(stable_rate: float, weight: int, bets: Hypotheses, missed_bad: float) -> float:
    """Return about how many calls, on either version, prove safety at ``weight`` percent.

    Infinite where nothing can be proved: at 0 and at 100, and when "bad" is no worse than stable itself.
    """
    goal = -math.log(missed_bad) - begin().safe[0]
    return takes(goal, _safe_gains(plausible(stable_rate), weight / 100, bets)[0])


def _safe_gains(rate: float, share: float, bets: Hypotheses) -> tuple[float, ...]:
    """Return what each bet on safety gains by one call on either version, when both fail at ``rate``."""
    if not 0 < share < 1:
        return (0.0,) * len(SAFE_POSITIONS)
    calls = share, share * rate, 1 - share, (1 - share) * rate
    return tuple(bet.gain(*calls) / bets.cluster for bet in safe_bets(bets.bad, rate, share, 1 - share))


def takes(goal: float, gain: float) -> float:
    """Return how often ``gain`` comes before it has made ``goal``: infinitely often where it is none."""
    return goal / gain if gain > 1e-12 else math.inf
