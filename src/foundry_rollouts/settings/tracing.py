"""Whether traces are wanted: the standard variables of OpenTelemetry say so, and none of ours.

The exporter reads the others (headers, certificates, timeouts, the sampler) by itself.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTER = "OTEL_TRACES_EXPORTER"
SPOKEN = "http/protobuf"


@dataclass(frozen=True, slots=True)
class WantedTraces:
    """Somebody wants traces; ``refusal`` says why they cannot be sent as asked, None: they can."""

    refusal: str | None = None


def wanted_traces(environment: Mapping[str, str] = os.environ) -> WantedTraces | None:
    """Return what the environment asks for; None: no traces."""
    exporter = environment.get(EXPORTER, "").strip().lower()
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none"
    if is_off or not (exporter or any(environment.get(name) for name in ENDPOINTS)):
        return None
    if exporter not in {"otlp", ""}:
        return WantedTraces(f"{EXPORTER}={exporter} is not known here: use otlp")
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), SPOKEN)
    return WantedTraces(None if protocol == SPOKEN else f"{protocol} is not spoken here: set {PROTOCOLS[1]}={SPOKEN}")
