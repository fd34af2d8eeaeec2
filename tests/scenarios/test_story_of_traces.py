"""Traces that the standard variables ask for: a receiver of OTLP gets them, and log lines name them."""

import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from answering import a_server, say
from scenarios.test_story_of_lost_policies import log_line
from town import AGENT, Town


def said(attributes: Any) -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in pairs}


@dataclass
class Collector:
    """What OpenTelemetry's collector is to the service: it takes whatever comes, as protobuf."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = {name.lower(): text for name, text in (line.split(": ", 1) for line in head.strip().split("\r\n")[1:])}
        body = await reader.readexactly(int(fields["content-length"]))
        body = gzip.decompress(body) if fields.get("content-encoding") == "gzip" else body
        self.headers.append({"line": head.split("\r\n")[0], **fields})
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(said(each.resource.attributes))
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        say(writer, ExportTraceServiceResponse().SerializeToString(), Content_Type="application/x-protobuf")

    def named(self, is_meant: Callable[[str], bool]) -> list[Span]:
        return [span for span in self.spans if is_meant(span.name)]


def logged(town: Town) -> list[dict[str, Any]]:
    lines = (town.folder / "controller.log").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


async def test_a_receiver_gets_the_ticks_with_all_they_asked_and_wrote(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    async with a_server(collector.answer) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=from the environment")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        await town.a_stable_version()
        await town.image("emulator://echo?error_rate=1")
        await town.until_phase("rolled_back")
        line = await town.until(partial(log_line, town, "rollout.rolled_back"))
        ticks: dict[str, dict[str, Any]] = {}

        async def arrived() -> bool:
            ticks.update({span.trace_id.hex(): said(span.attributes) for span in collector.named("tick".__eq__)})
            return line["trace_id"] in ticks

        await town.until(arrived)
        await town.stage.stop()
    assert (line["agent"], line["canary"], line["stable"], line["author"]) == (AGENT, "2", "1", None)
    tick = ticks[line["trace_id"]]
    assert tick["foundry_rollouts.rollout"] == line["rollout"]
    assert tick["foundry_rollouts.because"] == line["because"]
    of_trace = {span.name for span in collector.spans if span.trace_id.hex() == line["trace_id"]}
    assert of_trace >= {"tick", "source probe", "source logs", "PATCH agents.route", "INSERT events"}
    calls = [said(span.attributes) for span in collector.named(lambda name: name.endswith("responses.create"))]
    assert {(call["gen_ai.system"], call["gen_ai.provider.name"], call["gen_ai.agent.name"]) for call in calls} == {
        ("az.ai.agents", "microsoft.foundry", AGENT)
    }
    assert (
        collector.resources[0].items()
        >= {
            "service.name": "foundry-rollouts",
            "deployment.environment.name": "test",
        }.items()
    )
    assert {"service.version", "service.instance.id"} <= collector.resources[0].keys()
    assert (collector.headers[0]["line"], collector.headers[0]["x-key"]) == (
        "POST /v1/traces HTTP/1.1",
        "from the environment",
    )
    assert not [span for span in collector.spans if b"Bearer" in span.SerializeToString()]
    assert [line["level"] for line in logged(town) if line["event"] == "traces.on"] == ["info"]


async def test_a_receiver_that_is_away_and_one_that_wants_another_protocol_keep_nothing_from_working(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    await town.a_stable_version()
    await town.kill_controller()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    await town.control()
    because = [line["because"] for line in logged(town) if line["event"] == "traces.off"]
    assert because == ["grpc is not spoken here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"]
