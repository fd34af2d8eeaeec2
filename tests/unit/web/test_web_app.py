"""Health, readiness, metrics, and how errors look."""

import asyncio
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from dirty_equals import IsPartialDict

from fakes import FakeHealth, FakePolicies
from foundry_rollouts.errors import LeaseLostError
from foundry_rollouts.ports import Condition
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.services import Services
from unit.web.served import Web, client_of


async def test_the_service_is_alive(web: Web) -> None:
    answer = await web.client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_the_service_is_ready_when_every_condition_is_well(web: Web) -> None:
    answer = await web.client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "is_ready": True,
        "conditions": [{"name": "database", "is_well": True, "because": "reachable", "is_essential": True}],
    }


async def test_one_condition_that_is_not_well_makes_it_unready(services: Services) -> None:
    given = (Condition("database", True, "reachable"), Condition("sweep", False, "no sweep yet"))
    async with client_of(replace(services, health=FakeHealth(given))) as client:
        answer = await client.get("/readyz")

        assert (answer.status_code, answer.json()["is_ready"]) == (503, False)
        assert answer.json()["conditions"][1]["because"] == "no sweep yet"
        assert (await client.get("/healthz")).status_code == 200


async def test_metrics_are_a_plain_route(web: Web) -> None:
    answer = await web.client.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'foundry_rollouts_build_info{version="1.2.3"} 1.0' in answer.text


class SlowMetrics(Metrics):
    """Metrics that are not rendered before somebody else was answered."""

    def __init__(self) -> None:
        super().__init__("any")
        self.is_answered = threading.Event()
        self.waited = False

    def render(self, accept: str = "") -> tuple[bytes, str]:
        self.waited = self.is_answered.wait(30)
        return super().render(accept)


async def test_the_service_answers_others_while_thousands_of_series_are_written(services: Services) -> None:
    metrics = SlowMetrics()
    async with client_of(replace(services, metrics=metrics)) as client:
        scrape = asyncio.create_task(client.get("/metrics"))
        await asyncio.sleep(0)
        assert (await client.get("/healthz")).status_code == 200
        metrics.is_answered.set()
        assert (await scrape).status_code == 200
    assert metrics.waited


async def test_metrics_speak_openmetrics_to_those_who_ask(web: Web) -> None:
    answer = await web.client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/agents/", 404),
        ("POST", "/api/v1/agents", 405),
        ("POST", "/api/v1/rollouts/r-1:explode", 405),
        ("DELETE", "/api/v1/rollouts/r-1", 405),
    ],
)
async def test_what_is_not_there_is_a_problem_too(web: Web, method: str, path: str, status: int) -> None:
    answer = await web.client.request(method, path, json={})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == IsPartialDict(status=status, instance=path)


async def test_json_that_is_none_is_a_problem(web: Web) -> None:
    answer = await web.client.post("/api/v1/rollouts", content=b"{agent", headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_problem_does_not_repeat_what_was_sent(web: Web) -> None:
    sent = {"agent": "support-agent", "version": "2", "author": "Bearer treasure\n"}

    answer = await web.client.post("/api/v1/rollouts", json=sent)

    assert answer.status_code == 422
    assert "treasure" not in answer.text


async def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(web: Web, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "history.db") as database:
        database.execute("DROP TABLE agents")
    database.close()

    answer = await web.client.get("/api/v1/agents")

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0


class LostPolicies(FakePolicies):
    """A failure that no request should ever meet."""

    def all(self) -> tuple[()]:
        raise LeaseLostError("treasure")


class BrokenPolicies(FakePolicies):
    """A fault of ours that nobody foresaw."""

    def all(self) -> tuple[()]:
        raise RuntimeError("treasure")


@pytest.mark.parametrize("policies", [BrokenPolicies(), LostPolicies()])
async def test_an_error_that_nobody_foresaw_says_nothing_of_our_insides(
    services: Services, policies: FakePolicies
) -> None:
    async with client_of(replace(services, policies=policies)) as client:
        answer = await client.get("/api/v1/policies")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "treasure" not in answer.text
