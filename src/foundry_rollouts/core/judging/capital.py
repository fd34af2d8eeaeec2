"""Evidence about one gate from one source: is the canary worse than tolerated, is it better than bad.

Every batch of counts is a small experiment of its own; its bets (``bets.py``) multiply the capital won so
far. Counts are never pooled over time, weights or sources, so an outage that both versions share proves
nothing. Capital that starts at 1 and plays fair bets reaches ``1/alpha`` with a chance of at most ``alpha``
(Ville's inequality), however often one checks: that is the whole guarantee. Capital is kept as natural
logarithms.
"""

import math
from dataclasses import dataclass, replace

from foundry_rollouts.core.judging.bets import Bet, floor_bets, harm_bets, ladder_bets, past_bets, safe_bets
from foundry_rollouts.core.judging.constants import (
    BATCH_CALLS,
    GUESSED_CALLS,
    GUESSED_FAILURES,
    HALF_LIFE,
    HARM_POSITIONS,
    HIGHEST_GUESS,
    KNOWN_AFTER_CALLS,
    LADDER,
    LOWEST_GUESS,
    MINUTE,
    PRIOR_CALLS,
    SAFE_POSITIONS,
    STAKED_AT_START,
    STAKED_EACH_MINUTE,
    STAKED_EACH_WEIGHT,
)
from foundry_rollouts.core.judging.logarithms import log_sum
from foundry_rollouts.core.model.policy import Margin
from foundry_rollouts.errors import UsageError

NEVER = 1_000_000_000  #: More calls than any rollout sees.


@dataclass(frozen=True, slots=True)
class Tally:
    """What one source counted in one interval: calls on each version, and how many of them failed."""

    canary_calls: int = 0
    canary_failures: int = 0
    stable_calls: int = 0
    stable_failures: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.canary_failures <= self.canary_calls and 0 <= self.stable_failures <= self.stable_calls):
            raise UsageError(f"{self}: failures are counted among the calls, from none to all of them")

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.canary_calls + other.canary_calls,
            self.canary_failures + other.canary_failures,
            self.stable_calls + other.stable_calls,
            self.stable_failures + other.stable_failures,
        )

    @property
    def is_batch(self) -> bool:
        """Whether there is enough to bet on; outcomes have no say in it, or the bets would not be fair."""
        return min(self.canary_calls, self.stable_calls) >= 1 and self.canary_calls + self.stable_calls >= BATCH_CALLS


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """What is bet against: harm against all within ``tolerate``, safety against all that is ``bad``."""

    tolerate: Margin
    bad: Margin


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
        return replace(self, staked=tuple(log_sum((part, each)) for part in self.staked), cash=self.cash + kept)

    def later(self, seconds: float) -> "Capital":
        """Return the capital ``seconds`` later: each full minute has moved its stake."""
        elapsed = self.clock + seconds
        # The nudge lets six hundred tenths of a second make a minute in spite of their rounding.
        minutes = math.floor(elapsed / MINUTE + 1e-9)
        on = replace(self, clock=elapsed - minutes * MINUTE)
        return on.stake(STAKED_EACH_MINUTE, times=minutes) if minutes else on


@dataclass(frozen=True, slots=True)
class StableEstimate:
    """What stable is thought to fail at, from calls that fade with age; if wrong it costs time, not truth."""

    failures: float = 0.0
    calls: float = 0.0
    old_failures: float = 0.0  #: Of before the trial; these do not fade.
    old_calls: float = 0.0

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
        """Return the guess once ``batch``, closed by an interval of ``seconds``, is known too."""
        kept = 0.5 ** (seconds / HALF_LIFE)
        failures, calls = self.failures * kept + batch.stable_failures, self.calls * kept + batch.stable_calls
        return replace(self, failures=failures, calls=calls)


@dataclass(frozen=True, slots=True)
class EProcess:
    """The evidence of one gate from one source, and all it needs to go on."""

    harm: Capital = Capital()
    safe: tuple[float, ...] = (-math.log(len(SAFE_POSITIONS)),) * len(SAFE_POSITIONS)
    ladder: tuple[float, ...] = (0.0,) * len(LADDER)
    guess: StableEstimate = StableEstimate()
    buffer: Tally = Tally()
    past: tuple[float, ...] = (-math.log(len(SAFE_POSITIONS)),) * len(SAFE_POSITIONS)
    known: float | None = None  #: What stable was known to fail at when the present weight began.

    @property
    def harm_log(self) -> float:
        """The evidence that the canary is worse than tolerated."""
        return self.harm.log

    @property
    def safe_log(self) -> float:
        """The evidence, won at the present weight, that the canary is better than bad."""
        return log_sum(self.safe)

    @property
    def past_log(self) -> float:
        """The evidence, won at the present weight, that the canary is better than bad would have been before.

        It goes by what stable was known to fail at when this weight began, for when stable has no calls left, or so few
        that they tell nothing of it. Where that was not known, nothing is proved.
        """
        return log_sum(self.past)

    def at_most_worse(self, missed_bad: float) -> float | None:
        """Return how much worse than stable the canary is at most, a fraction; None when none is proved."""
        proved = (margin for margin, won in zip(LADDER, self.ladder, strict=True) if won >= -math.log(missed_bad))
        return min(proved, default=None)


def begin(history: Tally | None = None) -> EProcess:
    """Return the evidence before the first interval: none.

    ``history`` is what stable is known for from before the trial; it counts as 500 calls at most.
    """
    if history is None or not history.stable_calls:
        return EProcess()
    part = min(1.0, PRIOR_CALLS / history.stable_calls)
    guess = StableEstimate(old_failures=part * history.stable_failures, old_calls=part * history.stable_calls)
    return EProcess(guess=guess, known=guess.known)


def reweighted(process: EProcess) -> EProcess:
    """Return the evidence after a change of weight, before the first interval at the new one.

    The open batch is dropped, for its calls were divided otherwise; a stake goes on "the new weight broke
    it"; safety must be proved again.
    """
    known = process.known if process.guess.known is None else process.guess.known
    harm, new = process.harm.stake(STAKED_EACH_WEIGHT), begin()
    return replace(process, harm=harm, safe=new.safe, buffer=Tally(), past=new.past, known=known)


def observed(process: EProcess, bets: Hypotheses, tally: Tally, seconds: float) -> EProcess:
    """Return the evidence after one more interval, ``seconds`` long, in which ``tally`` was counted."""
    if process.known is not None:
        alone = Tally(tally.canary_calls, tally.canary_failures)
        process = replace(process, past=_accrued(process.past, past_bets(bets.bad, process.known), alone))
    batch = process.buffer + tally
    if batch.is_batch:
        process = _settle_batch(process, bets, batch)
        process = replace(process, guess=process.guess.after(batch, seconds), buffer=Tally())
    else:
        process = replace(process, buffer=batch)
    return replace(process, harm=process.harm.later(seconds))


def _settle_batch(process: EProcess, bets: Hypotheses, batch: Tally) -> EProcess:
    expected = process.guess.rate, batch.canary_calls, batch.stable_calls
    return replace(
        process,
        harm=replace(process.harm, staked=_accrued(process.harm.staked, harm_bets(bets.tolerate, *expected), batch)),
        safe=_accrued(process.safe, safe_bets(bets.bad, *expected), batch),
        ladder=_accrued(process.ladder, ladder_bets(*expected), batch),
    )


def _accrued(capital: tuple[float, ...], placed: tuple[Bet, ...], batch: Tally) -> tuple[float, ...]:
    counts = batch.canary_calls, batch.canary_failures, batch.stable_calls, batch.stable_failures
    return tuple(part + bet.gain(*counts) for part, bet in zip(capital, placed, strict=True))


@dataclass(frozen=True, slots=True)
class CeilingProcess:
    """The evidence that the canary fails more often than an absolute limit allows, whatever stable does."""

    harm: Capital = Capital()

    @property
    def log(self) -> float:
        """The evidence, as a natural logarithm."""
        return self.harm.log


def begin_floor() -> CeilingProcess:
    """Return the evidence before the first interval: none."""
    return CeilingProcess()


def observed_floor(process: CeilingProcess, limit: float, calls: int, failures: int, seconds: float) -> CeilingProcess:
    """Return the evidence after one more interval; ``limit`` is the highest failure rate that is allowed.

    One version alone needs no batches: the limit is known, so each call is a bet of its own.
    """
    staked = _accrued(process.harm.staked, floor_bets(limit), Tally(canary_calls=calls, canary_failures=failures))
    return CeilingProcess(replace(process.harm, staked=staked).later(seconds))


def calls_needed(process: EProcess, bets: Hypotheses, missed_bad: float, canary_share: float) -> int:
    """Return about how many more canary calls prove safety, if the canary is just as good as stable.

    Args:
        process: the evidence so far.
        bets: what is bet against.
        missed_bad: safety is proved when its evidence reaches ``1 / missed_bad``.
        canary_share: the canary's share of all calls, from 0 to 1; at 1 it is compared with stable's past.

    Returns:
        0 when it is proved already; ``NEVER`` where nothing can be proved.
    """
    goal, is_alone = -math.log(missed_bad), canary_share >= 1
    capital, rate = (process.past, process.known) if is_alone else (process.safe, process.guess.rate)
    if rate is None:
        return NEVER
    if log_sum(capital) >= goal:
        return 0
    gains = _safe_gains(rate, canary_share, bets.bad)
    calls = min(takes(goal - won, gain) for won, gain in zip(capital, gains, strict=True))
    return NEVER if math.isinf(calls) else math.ceil(min(calls * canary_share, NEVER))


def samples_to_prove(stable_rate: float, weight: int, bets: Hypotheses, missed_bad: float) -> float:
    """Return about how many calls, on either version, prove safety at ``weight`` percent.

    At 100 the canary is compared with what stable failed at before. Infinite where nothing can be proved: at 0, and
    when "bad" is no worse than stable itself.
    """
    goal = -math.log(missed_bad) - begin().safe[0]
    return takes(goal, _safe_gains(plausible(stable_rate), weight / 100, bets.bad)[0])


def _safe_gains(rate: float, share: float, bad: Margin) -> tuple[float, ...]:
    """Return what each bet on safety gains by one call on either version, when both fail at ``rate``."""
    if share >= 1:
        return tuple(bet.gain(1, rate, 0, 0) for bet in past_bets(bad, rate))
    calls = share, share * rate, 1 - share, (1 - share) * rate
    return tuple(bet.gain(*calls) for bet in safe_bets(bad, rate, share, 1 - share))


def takes(goal: float, gain: float) -> float:
    """Return how often ``gain`` comes before it has made ``goal``: infinitely often where it is none."""
    return goal / gain if gain > 1e-12 else math.inf


def plausible(rate: float) -> float:
    """Return the rate at which stable is thought to fail: nothing fails always or never."""
    return min(max(rate, LOWEST_GUESS), HIGHEST_GUESS)
