"""How numbers and times are written on pages: counts before rates, odds for evidence, times in UTC."""

import math
from datetime import datetime

from foundry_rollouts.core.judging.sentences import ROUNDING

#: A thin space that does not break: between groups of three, and before a unit.
THIN = "\u202f"
#: Above these odds nobody compares numbers any more.
MOST_ODDS = math.log(10_000)
NONE = "none"
DAY = 86_400


def version(name: str | None) -> str:
    """Return a version as people call it: ``v42``."""
    return f"v{name}" if name else "no version"


def number(count: float) -> str:
    """Return a whole number with thin groups of three: ``1 156``."""
    return f"{round(count):,}".replace(",", THIN)


def counted(count: float, one: str, many: str | None = None) -> str:
    """Return a number with what it counts: ``1 call``, ``12 calls``."""
    return f"{number(count)} {one if round(count) == 1 else many or f'{one}s'}"


def percent(rate: float | None) -> str:
    """Return a fraction in percent: one digit behind the point below 20, none above."""
    if rate is None:
        return "not seen"
    value = 100 * rate
    text = f"{value:.1f}".removesuffix(".0") if value < 20 else f"{value:.0f}"
    return f"{text}{THIN}%"


def odds(log: float) -> str:
    """Return evidence, a natural logarithm, as odds: ``9 : 1``; ``none`` where nothing speaks for it."""
    if log <= 0.0005:
        return NONE
    if log > MOST_ODDS:
        return f"over 10{THIN}000 : 1"
    value = math.exp(log + ROUNDING)
    # Rounded down: what is shown as reached has been reached.
    return f"{math.floor(10 * value) / 10:.1f} : 1" if value < 10 else f"{number(math.floor(value))} : 1"


def limit(share: float) -> str:
    """Return the odds at which an accepted share of mistakes is kept: ``20 : 1`` for 5%."""
    return f"{number(1 / share)} : 1"


def span(seconds: float) -> str:
    """Return a span to two places: ``4 min 55 s``, ``1 h 50 min``, ``2 d 3 h``."""
    whole = max(round(seconds), 0)
    if whole >= DAY:
        return _two(whole // DAY, "d", whole % DAY // 3600, "h")
    if whole >= 3600:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    if whole >= 60:
        return _two(whole // 60, "min", whole % 60, "s")
    return f"{whole}{THIN}s"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    rest = f" {second}{THIN}{smaller}" if second else ""
    return f"{first}{THIN}{unit}{rest}"


def ticking(seconds: float) -> str:
    """Return a span that a clock goes on with: two places always, so that its width stays."""
    whole = max(round(seconds), 0)
    if whole >= 3600:
        return f"{whole // 3600}{THIN}h {whole % 3600 // 60:02}{THIN}min"
    return f"{whole // 60}{THIN}min {whole % 60:02}{THIN}s" if whole >= 60 else f"{whole}{THIN}s"


def clock(at: datetime, now: datetime | None = None) -> str:
    """Return a time of day, with its date where that is not today's."""
    day = f"{at:%b} {at.day}, " if now is not None and at.date() != now.date() else ""
    return f"{day}{at:%H:%M:%S}"
