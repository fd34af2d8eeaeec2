"""Traces kept in memory, by OpenTelemetry's own SDK."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from foundry_rollouts.tracing import trace_to


class Kept:
    """What was traced so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Every span that has ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        """Return the first span of that name."""
        return next(span for span in self.spans if span.name == name)

    def everything(self) -> str:
        """Return all that left the process, as one text."""
        return "\n".join(span.to_json() for span in self.spans)


@contextmanager
def traces(sampler: Sampler | None = None) -> Iterator[Kept]:
    """Trace what is done within."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_to(provider)
    try:
        yield Kept(exporter)
    finally:
        trace_to(None)
        provider.shutdown()
