"""Until when something is to hold, as people say it: an instant, or a span from now."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from foundry_rollouts.cli.options import parse_span


def parse_instant(text: str) -> datetime:
    """Return the instant that a text such as ``2126-12-24T18:00+01:00`` names; without a zone it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is no instant: write it with its zone, for example 2126-12-24T18:00+01:00")
    return at


UntilOption = Annotated[
    datetime | None,
    typer.Option(
        "--until",
        parser=parse_instant,
        metavar="INSTANT",
        help="When it ends by itself, for example 2126-12-24T18:00Z.",
    ),
]
ForOption = Annotated[
    timedelta | None,
    typer.Option("--for", parser=parse_span, metavar="SPAN", help="How long it lasts, for example 4h."),
]


def end_of(until: datetime | None, span: timedelta | None) -> datetime | None:
    """Return when it ends. Raises UsageError where both are given."""
    from foundry_rollouts import clock
    from foundry_rollouts.errors import UsageError

    if until is not None and span is not None:
        raise UsageError("--until and --for both say when it ends: give one of them")
    return clock.now() + span if span is not None else until
