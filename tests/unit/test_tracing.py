"""Traces: nothing while they are off; a tree without a secret while they are on; ids in log lines and exemplars."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from foundry_rollouts.settings import WantedTraces, wanted_traces
from foundry_rollouts.telemetry import Metrics, configure_logging
from foundry_rollouts.telemetry.logs import TALKATIVE
from foundry_rollouts.tracing import context_headers, note, span, trace_ids
from plain_logs import log_plainly
from traced import Kept, traces

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
HERE = "http://127.0.0.1:4318"


@pytest.fixture
def kept() -> Iterator[Kept]:
    with traces() as seen:
        yield seen


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Give what is logged as JSON; logging belongs to the whole process, so it is put back."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in TALKATIVE}
    monkeypatch.setattr("sys.stderr", written)
    configure_logging("json")
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    log_plainly()


def test_a_service_that_traces_nothing_does_not_load_the_sdk() -> None:
    code = "import sys, foundry_rollouts.daemon; print([n for n in sys.modules if n.startswith('opentelemetry.sdk')])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_while_traces_are_off_nothing_is_part_of_one() -> None:
    with span("tick", {"agent": "a"}):
        note({"more": 1})
        assert (trace_ids(), context_headers()) == (None, {})


def test_a_span_knows_its_parent_and_what_is_said_of_it(kept: Kept) -> None:
    with span("tick", {"agent": "a", "stable": None}):
        with span("GET agents.get", is_request=True):
            note({"status": 200})
        note({"decision": "hold"})
    request, tick = kept.spans
    assert request.parent is not None
    assert tick.context is not None
    assert request.parent.span_id == tick.context.span_id
    assert (request.kind, tick.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL)
    assert (dict(request.attributes or {}), dict(tick.attributes or {})) == (
        {"status": 200},
        {"agent": "a", "decision": "hold"},
    )


def test_a_failure_is_named_by_its_class_and_its_text_stays_here(kept: Kept) -> None:
    with pytest.raises(ValueError, match="secret"), span("tick"):
        raise ValueError("secret: abc")
    failed = kept.named("tick")
    assert (failed.status.status_code, dict(failed.attributes or {})) == (
        StatusCode.ERROR,
        {"error.type": "ValueError"},
    )
    assert "abc" not in kept.everything()


async def test_what_a_tick_left_running_is_no_part_of_its_trace(kept: Kept) -> None:
    is_over = asyncio.Event()

    async def watch() -> None:
        await is_over.wait()
        assert trace_ids() is None
        with span("later"):
            pass

    with span("tick"):
        watching = asyncio.create_task(watch())
    is_over.set()
    await watching
    later, tick = kept.named("later"), kept.named("tick")
    assert later.parent is None
    assert later.context is not None
    assert tick.context is not None
    assert later.context.trace_id != tick.context.trace_id


def test_a_request_carries_the_trace_to_whom_it_asks(kept: Kept) -> None:
    with span("tick"):
        ids = trace_ids()
        assert ids is not None
        (carried,) = context_headers().items()
        assert (carried[0], carried[1].rpartition("-")[0]) == ("traceparent", f"00-{ids[0]}-{ids[1]}")


def test_what_is_not_sampled_is_named_nowhere() -> None:
    with traces(ALWAYS_OFF) as kept, span("tick"):
        assert (trace_ids(), context_headers()) == (None, {})
    assert kept.spans == ()


def test_a_log_line_names_its_trace(kept: Kept, log_lines: io.StringIO) -> None:
    with span("tick"):
        structlog.get_logger().info("rollout.advanced")
        ids = trace_ids()
    structlog.get_logger().info("daemon.stopped")
    inside, outside = map(json.loads, log_lines.getvalue().splitlines())
    assert (inside["trace_id"], inside["span_id"]) == ids
    assert "trace_id" not in outside


def test_exemplars_lead_from_a_measured_value_to_its_trace_where_openmetrics_is_asked_for(kept: Kept) -> None:
    metrics = Metrics("any")
    with span("tick"):
        metrics.requested("agents.get", 200, 0.2)
        metrics.decided("support-agent", "rollback")
        ids = trace_ids()
    metrics.requested("agents.list", 200, 0.2)
    assert ids is not None
    open_metrics, plain = (metrics.render(accept)[0].decode() for accept in (OPEN_METRICS, ""))
    marked = [line for line in open_metrics.splitlines() if f'# {{trace_id="{ids[0]}"}}' in line]
    assert [line.partition("{")[0] for line in marked] == [
        "foundry_rollouts_decisions_total",
        "foundry_rollouts_foundry_request_seconds_bucket",
    ]
    assert "agents.list" not in "".join(marked)
    assert "trace_id" not in plain


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "x"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, WantedTraces()),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HERE}, WantedTraces()),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, WantedTraces()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_TRACES_EXPORTER": "none"}, None),
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            WantedTraces("OTEL_TRACES_EXPORTER=zipkin is not known here: use otlp"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            WantedTraces("grpc is not spoken here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
        ),
    ],
)
def test_the_standard_variables_say_whether_traces_are_wanted(
    environment: dict[str, str], wanted: WantedTraces | None
) -> None:
    assert wanted_traces(environment) == wanted
