"""How pages write numbers, times and spans: thin spaces, UTC, counts before rates."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

_VERSION = re.compile(r"v\d")
_HELD = re.compile(r"(?<=\d) (?=\d{3}\b|: 1\b|%)|(?<=\d :) (?=1\b)")  #: Inside a number: no line ends there.
THIN = "\u202f"  #: A narrow space that does not break.


def clock(at: datetime) -> str:
    """Return the time of day: ``14:06:45``."""
    return f"{at:%H:%M:%S}"


def day(at: datetime) -> str:
    """Return the day without its year: ``20 Nov``."""
    return f"{at.day} {at:%b}"


def count(value: float) -> str:
    """Return a whole number with thin spaces: ``1 156``."""
    return f"{value:,.0f}".replace(",", THIN)


def percent(share: float) -> str:
    """Return a share in percent, with a decimal where it is small: ``0.8 %``, ``42 %``."""
    value = share * 100
    return f"{value:.0f}{THIN}%" if value >= 10 or value == 0 else f"{value:.1f}{THIN}%"


def span(seconds: float | timedelta) -> str:
    """Return a span as people say it: ``40 s``, ``4 min 55 s``, ``1 h 46 min``, ``3 d 4 h``."""
    whole = round(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)
    days, rest = divmod(max(whole, 0), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, last = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (last, "s")]
    first = next((at for at, (value, _) in enumerate(parts) if value), len(parts) - 1)
    said = [f"{value}{THIN}{unit}" for value, unit in parts[first : first + 2] if value]
    return " ".join(said) or f"0{THIN}s"


def sentence(text: str) -> str:
    """Return ``text`` as a sentence: with a capital, a full stop, and numbers that stay on one line."""
    text = _HELD.sub("\u00a0", text.strip())
    first = text[:1] if _VERSION.match(text) else text[:1].upper()
    return f"{first}{text[1:]}{'' if text.endswith(('.', '?', '…')) else '.'}"


def as_version(version: str | None) -> str:
    """Return a version as pages name it: ``v42``; a word such as ``@latest`` stays."""
    return "none" if not version else f"v{version}" if version[:1].isdigit() else version


def moment(at: datetime, now: datetime) -> str:
    """Return when something was, as near as it needs to be: ``today, 09:48``, ``12 Nov``, ``12 Nov 2025``."""
    if at.date() == now.date():
        return f"today, {at:%H:%M}"
    if at.date() == (now - timedelta(days=1)).date():
        return f"yesterday, {at:%H:%M}"
    return day(at) if at.year == now.year else f"{day(at)} {at.year}"


FILTERS: dict[str, Callable[..., Any]] = {
    "clock": clock,
    "count": count,
    "day": day,
    "moment": moment,
    "percent": percent,
    "sentence": sentence,
    "span": span,
    "version": as_version,
}
