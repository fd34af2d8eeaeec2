"""How a forecast is put into words."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class PolicyWarning:
    """What is risky, and how to fix it; ``step`` counts from 1, None: the whole policy, or what ``where`` names.

    A note is no risk, only good to know.
    """

    step: int | None
    sentence: str
    where: tuple[str, ...] = ()
    is_note: bool = False


def span_words(span: timedelta) -> str:
    """Return a span as people say it, to two places: ``7h13m``, ``36m``, ``1m10s``, ``0.6s``."""
    seconds = span.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    whole = round(seconds) if seconds < 600 else 60 * round(seconds / 60)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{left}s" if left else "")
    return "".join(parts)
