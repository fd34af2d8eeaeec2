"""Where traces go: to an OTLP receiver, as the standard ``OTEL_*`` variables say. Needs the extra ``otel``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

import structlog

from foundry_rollouts.tracing import SCOPE, trace_to

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger()

#: How long what is not sent yet may hold up the end of the process.
LAST_WORDS_MILLISECONDS = 3000


@contextmanager
def exporting(refusal: str | None, replica: str) -> Iterator[None]:
    """Send traces to the receiver of the environment within; ``refusal``, where there is one, says why not."""
    if refusal is None:
        try:
            provider = _provider(replica)
        except ImportError:
            refusal = "its packages are missing: install foundry-rollouts[otel]"
    if refusal is not None:
        log.warning("traces.off", because=refusal)
        yield
        return
    trace_to(provider)
    log.info("traces.on")
    try:
        yield
    finally:
        trace_to(None)
        provider.force_flush(LAST_WORDS_MILLISECONDS)
        provider.shutdown()


def _provider(replica: str) -> TracerProvider:
    """Return what batches and sends; the exporter, the sampler and the resource read the environment themselves."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = {
        "service.name": SCOPE.replace("_", "-"),
        "service.version": version_of("foundry-rollouts"),
        "service.instance.id": replica,
    }
    provider = TracerProvider(resource=Resource.create(ours).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
