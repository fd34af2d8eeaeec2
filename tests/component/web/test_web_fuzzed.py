"""The ops API keeps its own OpenAPI text, whatever is sent and whoever sends it: schemathesis plays every role."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from builders import NOON, a_rollout
from environments import environment
from fakes import FakeHealth, FakePolicies, FakeWake, a_store, record, stand
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.limits import Buckets
from foundry_rollouts.web.services import Services
from unit.web.admitted import admitted
from unit.web.served import serving

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "allow_header_conformance",
    "unsupported_method",
)
#: Whoever lacks a role is refused before a body is read, so that a wrong one is no better than a right one.
FOR_SOME = ("negative_data_rejection",)
PROGRESSING = a_rollout(phase=Phase.PROGRESSING, step=1, generation=3, started_at=NOON, step_started_at=NOON)


@asynccontextmanager
async def a_service(store: SqlStore) -> AsyncIterator[tuple[str, dict[Role, str]]]:
    """Serve the API over a store in which there is something of everything; yield where, and a token of each role."""
    rollout = await stand(store, PROGRESSING)
    window = Window(NOON, NOON + timedelta(seconds=10))
    counted = Measurement("probe", window, Counts(4), Counts(5, 1, causes=(("HTTP 500", 1),)))
    await record(store, rollout.agent, Record(rollout=rollout, measurements=(counted,)))
    bad = replace(PROGRESSING, id="r-0", canary="1.9", phase=Phase.ROLLED_BACK, ended_at=NOON)
    await stand(store, replace(bad, created_at=NOON - timedelta(hours=1)))
    stop = asyncio.Event()
    services = Services(
        store=store,
        policies=FakePolicies(),
        health=FakeHealth(),
        metrics=Metrics("1.2.3"),
        wake=FakeWake(),
        now=lambda: NOON,
        stop=stop,
        buckets=Buckets(1_000_000),
        check_every=timedelta(milliseconds=50),
        answer_within=timedelta(milliseconds=50),
    )
    people = await admitted(services)
    async with serving(people.services) as (url, _):
        async with httpx.AsyncClient(timeout=60) as client:  # It is written at the first request, and kept.
            assert (await client.get(f"{url}/api/openapi.json")).status_code == 200
        yield url, dict(people.secrets)


def fuzz(url: str, token: str | None, checks: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Let schemathesis play one role, reproducibly."""
    program = environment("schemathesis").with_name("st")
    headers = () if token is None else ("--header", f"Authorization:Bearer {token}")
    command = (
        *(program, "run", f"{url}/api/openapi.json", *headers),
        *("--checks", ",".join(checks), "--phases", "examples,coverage,fuzzing", "--max-examples", "8"),
        *("--seed", "7", "--warnings", "off", "--suppress-health-check", "all", "--no-shrink", "--no-color"),
    )
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", [None, *Role], ids=str)
async def test_no_answer_is_undocumented_and_none_is_our_mistake(role: Role | None, tmp_path: Path) -> None:
    checks = CHECKS if role is Role.ADMIN else [each for each in CHECKS if each not in FOR_SOME]
    async with a_store(tmp_path) as store, a_service(store) as (url, tokens):
        run = await asyncio.to_thread(fuzz, url, tokens[role] if role else None, checks, tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
