"""The traffic that every rule meets: Poisson arrivals, divided at the rule's present weight, failing by turns.

A *cell* says how much traffic there is, how often stable fails, how much worse the canary is, how the rates move
together, and whether the true share of the canary is the weight. All rules meet the same cells.
"""

import math
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints

TRAFFIC = (0.2, 2.0, 20.0, 200.0)  #: Calls a second.
STABLE_RATES = (0.001, 0.01, 0.05)
EFFECTS = ("+0.5pp", "2x", "5x", "10x", "dead")
PATTERNS = ("flat", "outage", "bursty", "drift")
SHARES = ("exact", "lagging", "oscillating")

LATE = "late"  #: 20 points worse from the tenth minute on.
BAD_LINE = "on the bad line"  #: 1.5 times stable and half a point.
EQUAL = "equal"

HOUR = 3600.0
KNOWN_CALLS = 500  #: What ours knows of stable from before the trial, as the service does from an earlier rollout.
_OUTAGE_RATE, _OUTAGE_SECONDS = 0.3, 180.0
_BURST_SECONDS, _BURST_SHAPE = 30.0, 0.5
_DRIFT_SECONDS, _LAG_SECONDS, _SWING_SECONDS = 1800.0, 300.0, 240.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario; ``outage_at`` fixes when a shared outage of three minutes begins, else each run draws its own."""

    traffic: float
    stable_rate: float
    effect: str = EQUAL
    pattern: str = "flat"
    share: str = "exact"
    breaks_at: float = 0.0  #: Seconds after which the effect shows.
    outage_at: float | None = None


def services() -> list[tuple[float, float]]:
    """Return the twelve services: traffic and stable's failure rate."""
    return list(product(TRAFFIC, STABLE_RATES))


def harmless(patterns: tuple[str, ...] = PATTERNS) -> list[Cell]:
    """Return every service with a canary that is just as good, whatever happens to both."""
    return [Cell(*service, pattern=pattern) for service in services() for pattern in patterns]


def harmful() -> list[Cell]:
    """Return every service with a canary that is worse from the start, or from the tenth minute on."""
    sudden = [Cell(*service, effect=effect) for service in services() for effect in EFFECTS]
    return sudden + [Cell(*service, effect=LATE, breaks_at=600.0) for service in services()]


def worse(effect: str, rates: Floats) -> Floats:
    """Return the canary's failure rates where stable fails at ``rates``."""
    match effect:
        case "equal":
            return rates
        case "+0.5pp":
            return np.minimum(rates + 0.005, 1.0)
        case "late":
            return np.minimum(rates + 0.2, 1.0)
        case "on the bad line":
            return np.minimum(1.5 * rates + 0.005, 1.0)
        case "dead":
            return np.ones_like(rates)
        case _:
            return np.minimum(rates * float(effect.removesuffix("x")), 1.0)


def known_failures(dice: np.random.Generator, rates: Floats) -> Floats:
    """Return how many of the calls failed that are known of stable from before the trial."""
    return np.asarray(dice.binomial(KNOWN_CALLS, rates), dtype=np.float64)


@dataclass(slots=True)
class Streams:
    """The traffic of ``runs`` runs of each cell; the runs of one cell stand side by side."""

    cells: list[Cell]
    runs: int
    dice: np.random.Generator
    traffic: Floats = field(init=False)  #: Calls a second, of each run.
    _stable: Floats = field(init=False)
    _breaks_at: Floats = field(init=False)
    _outage_at: Floats = field(init=False)
    _share: Floats = field(init=False)
    _burst: Floats = field(init=False)
    _burst_until: float = 0.0
    known: Floats = field(init=False)  #: How many of the ``KNOWN_CALLS`` before the trial failed on stable.

    def __post_init__(self) -> None:
        self.traffic = self._each([cell.traffic for cell in self.cells])
        self._stable = self._each([cell.stable_rate for cell in self.cells])
        # Dice of their own: what ours knows changes nothing of what anybody sees.
        self.known = known_failures(self.dice.spawn(1)[0], self._stable)
        self._breaks_at = self._each([cell.breaks_at for cell in self.cells])
        fixed = self._each([math.nan if cell.outage_at is None else cell.outage_at for cell in self.cells])
        # Any rule is still at work then: none takes less than the six minutes of the quickest.
        drawn = self.dice.uniform(60.0, 360.0, size=len(self))
        drawn = np.where(np.isnan(fixed), drawn, fixed)
        self._outage_at = np.where(self._those([c.pattern == "outage" for c in self.cells]), drawn, math.inf)
        self._share = np.full(len(self), math.nan)
        self._burst = np.ones(len(self))

    @property
    def stable_rates(self) -> Floats:
        """What stable fails at in calm times, in each run."""
        return self._stable

    def __len__(self) -> int:
        return len(self.cells) * self.runs

    def of(self, cell: int) -> slice:
        """Return where the runs of cell number ``cell`` stand."""
        return slice(cell * self.runs, (cell + 1) * self.runs)

    def rates(self, at: Ints, now: float) -> tuple[Floats, Floats]:
        """Return the failure rates of canary and stable at ``now`` seconds."""
        stable = self._stable[at] * np.where(self._is("drift")[at], 1 + 2 * min(1.0, now / _DRIFT_SECONDS), 1.0)
        stable = np.minimum(stable * self._bursts(now)[at], 1.0)
        is_out = (self._outage_at[at] <= now) & (now < self._outage_at[at] + _OUTAGE_SECONDS)
        stable = np.where(is_out, np.maximum(stable, _OUTAGE_RATE), stable)
        canary = stable.copy()
        for effect in {cell.effect for cell in self.cells} - {EQUAL}:
            hit = self._those([cell.effect == effect for cell in self.cells])[at] & (self._breaks_at[at] <= now)
            canary[hit] = worse(effect, stable[hit])
        return canary, stable

    def draw(self, at: Ints, now: float, seconds: float, weight: Floats) -> tuple[Counts, Floats]:
        """Return the counts of the interval that begins at ``now``, and the failures that the canary caused in it."""
        canary, stable = self.rates(at, now)
        calls = self.dice.poisson(self.traffic[at] * seconds)
        canary_calls = self.dice.binomial(calls, self._shares(at, now, seconds, weight))
        stable_calls = calls - canary_calls
        counts = Counts(
            canary_calls,
            self.dice.binomial(canary_calls, canary),
            stable_calls,
            self.dice.binomial(stable_calls, stable),
        )
        return counts, np.asarray(canary_calls * np.maximum(canary - stable, 0.0), dtype=np.float64)

    def excess_at_full_weight(self, at: Ints, now: float, until: float) -> Floats:
        """Return how many failures a canary with all traffic causes from ``now`` to ``until``."""
        canary, stable = self.rates(at, until)
        lasting = np.maximum(until - np.maximum(self._breaks_at[at], now), 0.0)
        return self.traffic[at] * lasting * np.maximum(canary - stable, 0.0)

    def _shares(self, at: Ints, now: float, seconds: float, weight: Floats) -> Floats:
        wanted = weight / 100
        before = np.where(np.isnan(self._share[at]), wanted, self._share[at])
        lagging = before + (wanted - before) * (1 - math.exp(-seconds / _LAG_SECONDS))
        self._share[at] = lagging
        swing = wanted * (1 + 0.5 * math.sin(2 * math.pi * now / _SWING_SECONDS))
        lags = self._those([cell.share == "lagging" for cell in self.cells])[at]
        swings = self._those([cell.share == "oscillating" for cell in self.cells])[at]
        return np.where(lags, lagging, np.where(swings, swing, wanted))

    def _bursts(self, now: float) -> Floats:
        is_bursty = self._is("bursty")
        while is_bursty.any() and now >= self._burst_until:
            drawn = self.dice.gamma(_BURST_SHAPE, 1 / _BURST_SHAPE, size=len(self))
            self._burst, self._burst_until = np.where(is_bursty, drawn, 1.0), self._burst_until + _BURST_SECONDS
        return self._burst

    def _is(self, pattern: str) -> Bools:
        return self._those([cell.pattern == pattern for cell in self.cells])

    def _each(self, values: list[float]) -> Floats:
        return np.repeat(np.array(values, dtype=np.float64), self.runs)

    def _those(self, chosen: list[bool]) -> Bools:
        return np.repeat(np.array(chosen, dtype=np.bool_), self.runs)
