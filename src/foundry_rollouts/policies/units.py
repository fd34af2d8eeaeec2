"""How durations, percents, margins and names are written in a policy file.

A bare number never passes: ``max: 20`` could be 20 % or 2000 %, ``every: 10`` seconds or minutes.
"""

import re
from datetime import timedelta
from typing import Annotated, Any

import durationpy
from pydantic import BeforeValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from foundry_rollouts.core.model.policy import Margin
from foundry_rollouts.policies.documents import shown

_NUMBER = r"[0-9]+(\.[0-9]+)?"
DURATION_PATTERN = rf"^(?=[0-9])({_NUMBER}h)?({_NUMBER}m)?({_NUMBER}s)?({_NUMBER}ms)?$"
PERCENT_PATTERN = rf"^{_NUMBER}%$"
MARGIN_PATTERN = rf"^{_NUMBER}x( *\+ *{_NUMBER}pp)?$"
TIMES_PATTERN = rf"^{_NUMBER}x$"
AGENT_PATTERN = r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?$"
NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"

LONGEST = timedelta(days=365)


def wrong(sentence: str) -> PydanticCustomError:
    """Return the error that puts ``sentence`` ("what: how to fix") into the report as it stands."""
    return PydanticCustomError("sentence", "{sentence}", {"sentence": sentence})


def parse_duration(value: object) -> timedelta:
    """Return the span that a text such as ``1h30m`` names."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not re.fullmatch(DURATION_PATTERN, value):
        raise wrong(f"{shown(value)} is not a duration: write for example 30s, 10m or 1h30m")
    try:
        span: timedelta = durationpy.from_str(value)
    except (durationpy.DurationError, OverflowError):
        span = timedelta.max
    if span > LONGEST:
        raise wrong(f"'{value}' is longer than a year: write at most 8760h")
    return span


def parse_positive_duration(value: object) -> timedelta:
    """Return the span that ``value`` names; nothing at all is refused."""
    span = parse_duration(value)
    if not span:
        raise wrong(f"'{value}' is no time at all: write for example 10s")
    return span


def parse_duration_or_off(value: object) -> timedelta | None:
    """Return the span that ``value`` names; None for the word ``off``."""
    if value is None or value == "off" or value is False:  # YAML reads the bare word as a truth value
        return None
    return parse_positive_duration(value)


def span_text(span: timedelta) -> str:
    """Return the text that names ``span``, as ``1h30m``."""
    return str(durationpy.to_str(span)) if span else "0s"


def parse_percent(value: object) -> float:
    """Return the fraction that a text such as ``1%`` names."""
    if isinstance(value, float):
        raise wrong(f"{value:g} has no unit: write {value:g}% or {value * 100:g}%, whichever is meant")
    if isinstance(value, int) and not isinstance(value, bool):
        raise wrong(f"{value} has no unit: write {value}%")
    if not isinstance(value, str) or not re.fullmatch(PERCENT_PATTERN, value):
        raise wrong(f"{shown(value)} is not a percentage: write for example 1% or 0.5%")
    percent = float(value[:-1])
    if not 0 < percent <= 100:
        raise wrong(f"'{value}' is out of range: write more than 0% and at most 100%")
    # Dividing the text's own number keeps 0.1% at exactly 0.001.
    return percent / 100


def parse_margin(value: object) -> Margin:
    """Return the line that a text such as ``1.5x + 0.5pp`` names."""
    if isinstance(value, Margin):
        return value
    if not isinstance(value, str) or not re.fullmatch(MARGIN_PATTERN, value):
        raise wrong(f"{shown(value)} is not a margin: write for example 1.2x, '1x + 1pp' or '1.5x + 0.5pp'")
    ratio, _, points = value.partition("x")
    share = float(points.replace("+", "").removesuffix("pp")) / 100 if points else 0.0
    if not (1 <= float(ratio) <= 1000 and share < 1):
        raise wrong(f"'{value}' is out of range: write 1x to 1000x, and less than 100pp")
    return Margin(float(ratio), share)


def parse_times(value: object) -> float:
    """Return the ratio that a text such as ``1.2x`` names."""
    if not isinstance(value, str) or not re.fullmatch(TIMES_PATTERN, value):
        raise wrong(f"{shown(value)} is not a multiple: write for example 1.2x")
    return float(value.removesuffix("x"))


def _text_schema(pattern: str, examples: list[str]) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, "examples": examples}


_DURATION = WithJsonSchema(_text_schema(DURATION_PATTERN, ["30s", "10m", "1h30m"]))

Duration = Annotated[timedelta, BeforeValidator(parse_duration), _DURATION]
PositiveDuration = Annotated[timedelta, BeforeValidator(parse_positive_duration), _DURATION]
DurationOrOff = Annotated[
    timedelta | None,
    BeforeValidator(parse_duration_or_off),
    WithJsonSchema({"anyOf": [_text_schema(DURATION_PATTERN, ["3m"]), {"enum": ["off", False]}]}),
]
Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    WithJsonSchema(_text_schema(PERCENT_PATTERN, ["1%", "0.5%", "20%"])),
]
MarginText = Annotated[
    Margin,
    BeforeValidator(parse_margin),
    WithJsonSchema(_text_schema(MARGIN_PATTERN, ["1.2x", "1x + 1pp", "1.5x + 0.5pp"])),
]
Times = Annotated[float, BeforeValidator(parse_times), WithJsonSchema(_text_schema(TIMES_PATTERN, ["1.2x", "0.8x"]))]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
AgentName = Annotated[str, StringConstraints(pattern=AGENT_PATTERN)]
