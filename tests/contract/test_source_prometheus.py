"""Counts out of a real Prometheus server that scrapes a real exporter."""

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from builders import a_policy, a_rollout
from foundry_rollouts import clock
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import PrometheusConfig, Sources
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.polling import PollingSource
from foundry_rollouts.signals.prometheus import PrometheusCounter
from patience import PATIENCE
from tools.system_packages import found

SERVER = found("prometheus")
pytestmark = pytest.mark.skipif(SERVER is None, reason="prometheus is missing (Debian: apt-get install prometheus)")

CALLS = 'sum(increase(agent_calls_total{agent="{agent}",version="{version}"}[{window}]))'
FAILURES = 'sum(increase(agent_calls_total{agent="{agent}",version="{version}",status="failed"}[{window}]))'
CONFIG = """
global: {scrape_interval: 250ms, scrape_timeout: 250ms}
scrape_configs:
  - job_name: agents
    static_configs: [{targets: ["127.0.0.1:PORT"]}]
"""


class Exporter(BaseHTTPRequestHandler):
    """Counters that grow with every scrape: ten calls on each version, of which the canary fails half."""

    scrapes = 0

    def do_GET(self) -> None:
        Exporter.scrapes += 1
        ok = {"1": 10 * self.scrapes, "2": 5 * self.scrapes}
        failed = {"1": 0, "2": 5 * self.scrapes}
        lines = [
            f'agent_calls_total{{agent="support-agent",version="{version}",status="{status}"}} {counts[version]}'
            for status, counts in (("ok", ok), ("failed", failed))
            for version in ("1", "2")
        ]
        body = "\n".join(["# TYPE agent_calls_total counter", *lines, ""]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def exporting() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as exporter:
        serving = threading.Thread(target=exporter.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield exporter.server_address[1]
        exporter.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Prometheus until it has scraped a few seconds of counts."""
    folder, port = tmp_path_factory.mktemp("prometheus"), a_free_port()
    with exporting() as scraped:
        (folder / "prometheus.yml").write_text(CONFIG.replace("PORT", str(scraped)))
        command = [str(SERVER), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + 60
            while Exporter.scrapes < 28 and time.monotonic() < end:
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


async def measured(url: str, calls: str = CALLS, failures: str = FAILURES, **values: str) -> Measurement:
    """Count one window that ended a second ago."""
    plan = PrometheusConfig(url, calls, failures, every=timedelta(seconds=3), delay=timedelta(seconds=1))
    plan = replace(plan, values=tuple(values.items()))
    begun = clock.now() - timedelta(seconds=4, microseconds=clock.now().microsecond)
    sources = Sources(probe=None, logs=None, prometheus=plan)
    policy = a_policy(sources=sources, gates=(Gate(GateKind.ERROR_RATE, ("prometheus",)),))
    rollout: Rollout = a_rollout(
        phase=Phase.PROGRESSING, step=1, started_at=begun, step_started_at=begun, policy=policy
    )
    source = PollingSource(PrometheusCounter(Fetcher(RateLimiter(clock.now), limit=timedelta(seconds=20))), clock.now)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                if found := await source.measure(rollout, Window(begun, clock.now())):
                    return found[0]
                await asyncio.sleep(0.1)
    finally:
        await source.close()


async def test_calls_and_failures_of_both_versions_come_from_two_queries(server: str) -> None:
    seen = await measured(server)
    assert seen.trouble is None
    # Forty calls a second; what lies at the edges of the window is extrapolated.
    assert 90 <= seen.stable.calls <= 200
    assert seen.stable.failures == 0
    assert abs(seen.canary.calls - seen.stable.calls) <= 20
    assert abs(2 * seen.canary.failures - seen.canary.calls) <= 20
    assert seen.canary.causes[0][0] == "failed by prometheus"


async def test_failures_that_match_no_series_beside_calls_are_no_zero_unless_the_query_says_so(server: str) -> None:
    typo = FAILURES.replace("status=", "state=")
    seen = await measured(server, CALLS, typo)
    assert seen.trouble is not None
    assert seen.trouble.startswith("the query of failures finds nothing beside")
    assert seen.canary.calls == 0
    whole = await measured(server, CALLS, f"{typo} or vector(0)")
    assert (whole.trouble, whole.canary.failures, whole.canary.calls > 0) == (None, 0, True)


async def test_estimates_of_a_real_server_are_whole_calls(server: str) -> None:
    seen = await measured(server, "vector(12.37)", "vector(0.4)")
    assert (seen.canary.calls, seen.canary.failures, seen.trouble) == (12, 0, None)


async def test_series_that_are_not_there_count_nothing_and_are_no_trouble(server: str) -> None:
    nothing = await measured(server, *(query.replace("agent_calls", "none") for query in (CALLS, FAILURES)))
    assert (nothing.trouble, nothing.canary.calls, nothing.stable.calls) == (None, 0, 0)


@pytest.mark.parametrize(
    ("calls", "trouble"),
    [
        ("sum(increase(agent_calls_total{version=", "HTTP 400: invalid parameter"),
        (CALLS.removeprefix("sum(").removesuffix(")"), "the query of calls gives 2 series: put sum() around it"),
        ('agent_calls_total{version="{version}"}[{window}]', "the query of calls gives matrix"),
        (f"{CALLS} / 0", "tells inf as the number of calls"),
        (f"0 * {CALLS} / 0", "tells nan as the number of calls"),
        (f"-1 * {CALLS}", "tells of -"),
        (f"{CALLS} / 1000", "tells of"),
    ],
)
async def test_a_query_that_cannot_be_a_count_is_told(server: str, calls: str, trouble: str) -> None:
    seen = await measured(server, calls)
    assert seen.trouble is not None
    assert seen.trouble.startswith(trouble)
    assert seen.canary.calls == 0


async def test_a_scalar_is_a_number_too(server: str) -> None:
    seen = await measured(server, "scalar(vector(12))", "scalar(vector(3))")
    assert (seen.canary.calls, seen.canary.failures, seen.trouble) == (12, 3, None)


async def test_further_numbers_are_queries_of_their_own_and_may_be_absent(server: str) -> None:
    seen = await measured(
        server,
        share='avg_over_time(agent_calls_total{version="{version}",status="failed"}[{window}]) > 0',
        nothing='no_such_series{version="{version}"}',
        undefined="0 * vector(1) / 0",
    )
    assert seen.trouble is None
    assert seen.stable.values == ()
    assert seen.canary.unread == (("undefined", "tells nan as the number of undefined"),)
    ((name, number),) = seen.canary.values
    assert name == "share"
    assert number > 0


async def test_a_server_that_is_away_is_told(server: str) -> None:
    assert (await measured(f"http://127.0.0.1:{a_free_port()}")).trouble == "cannot be reached (ConnectError)"


async def test_a_server_that_is_no_prometheus_is_told(server: str) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{server}/-/ready")).status_code == 200
    assert (await measured(f"{server}/graph")).trouble in {"HTTP 404", "the answer is not JSON"}
