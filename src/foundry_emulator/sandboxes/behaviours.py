"""Images of the scheme ``emulator://``: built-in behaviours and their parameters.

``emulator://echo?error_rate=0.05&latency_ms=200`` answers with what it was sent, after 200 ms, and fails one call in
twenty. ``throttle_rate`` is the share of calls that the model behind the agent refuses for its rate: HTTP 500, and an
error that says so unless ``throttle_is_masked``, as older hosting libraries do; the log says so anyway. A behaviour or
parameter that is not listed here fails the version, as an image that cannot be pulled does.
"""

import random
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SCHEME = "emulator"

Rate = Annotated[float, Field(ge=0, le=1)]
Span = Annotated[float, Field(ge=0)]


class ImageError(Exception):
    """The image names no behaviour this emulator has."""


class Behaviour(BaseModel):
    """How an in-process agent behaves; rates are shares of its calls, times are real."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    error_rate: Rate = 0.0
    empty_rate: Rate = 0.0
    log_error_rate: Rate = 0.0
    throttle_rate: Rate = 0.0
    throttle_is_masked: bool = False
    latency_ms: Span = 0.0
    latency_jitter_ms: Span = 0.0
    ready_after: Span = 0.0
    crash: bool = False
    reply: str | None = None
    seed: int | None = None

    def dice(self) -> random.Random:
        """Return the source of chance that all sessions of one version share."""
        return random.Random(self.seed)  # noqa: S311 - simulated failures, no secret


def behaviour_of(image: str) -> Behaviour:
    """Read an image reference; raise ``ImageError`` when it cannot be run here."""
    try:
        parts = urlsplit(image)
    except ValueError as error:
        raise ImageError(f"this is no image: {error}") from error
    if parts.scheme != SCHEME:
        raise ImageError(f"'{image}' is no {SCHEME}:// image")
    if parts.netloc != "echo" or parts.path not in ("", "/"):
        raise ImageError(f"unknown behaviour in '{image}': known is emulator://echo")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise ImageError(f"a parameter is given twice in '{image}'")
    try:
        return Behaviour.model_validate(dict(pairs))
    except ValidationError as error:
        first = error.errors()[0]
        raise ImageError(f"parameter '{first['loc'][0]}' in '{image}': {first['msg']}") from error
