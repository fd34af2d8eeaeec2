"""Traces: off until ``trace_to`` is given where they go, and then without a secret, a body, or the text of an error.

OpenTelemetry is imported when traces are on, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer, TracerProvider

Value = str | int | float | bool
About = Mapping[str, Value | None]

SCOPE = "foundry_rollouts"  #: The name of all that is ours in a trace, before the dot of each attribute too.


@dataclass(slots=True)
class _Switch:
    tracer: Tracer | None = None


_SWITCH = _Switch()


def trace_to(provider: TracerProvider | None) -> None:
    """Send spans to ``provider`` from now on; None: to nobody."""
    _SWITCH.tracer = provider.get_tracer(SCOPE) if provider else None


@contextmanager
def span(name: str, about: About | None = None, *, is_request: bool = False) -> Iterator[None]:
    """Trace what is done within; whatever is raised marks it as failed, by the name of its class.

    The text of an error may hold what nobody should read, so it is left out.
    """
    if _SWITCH.tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind, StatusCode

    kind = SpanKind.CLIENT if is_request else SpanKind.INTERNAL
    with _SWITCH.tracer.start_as_current_span(
        name,
        context=_parent(),
        kind=kind,
        attributes=_known(about or {}),
        record_exception=False,
        set_status_on_exception=False,
    ) as begun:
        try:
            yield
        except BaseException as error:
            begun.set_attribute("error.type", type(error).__name__)
            begun.set_status(StatusCode.ERROR)
            raise


def note(about: About) -> None:
    """Say more of what is under way, where that is part of a trace."""
    if _SWITCH.tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(_known(about))


def trace_ids() -> tuple[str, str] | None:
    """Return the ids of the trace and of the span under way, as hexadecimal digits; None where there is none."""
    if _SWITCH.tracer is None:
        return None
    from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

    present = get_current_span()
    if not present.is_recording():
        return None
    context = present.get_span_context()
    return format_trace_id(context.trace_id), format_span_id(context.span_id)


def context_headers() -> dict[str, str]:
    """Return the headers that make a request part of the trace under way; none where there is none."""
    headers: dict[str, str] = {}
    if trace_ids() is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(headers)
    return headers


def _parent() -> Context | None:
    """Return an empty context where the span around is over, else None for the present one.

    What a tick began in the background, such as reading logs, outlives it, and is no part of its trace.
    """
    from opentelemetry.context import Context
    from opentelemetry.trace import get_current_span

    return Context() if getattr(get_current_span(), "end_time", None) is not None else None


def _known(about: About) -> dict[str, Value]:
    return {name: value for name, value in about.items() if value is not None}
