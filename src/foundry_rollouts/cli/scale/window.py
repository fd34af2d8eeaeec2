"""One window of measuring: what a service did in it, and how soon it answered meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from foundry_rollouts.cli.scale.database import Measured
from foundry_rollouts.cli.scale.figures import Level, lag, percentile
from foundry_rollouts.cli.scale.stage import Scrape, Service, Stage

PING_EVERY = 0.05


@dataclass(slots=True)
class Pings:
    """How long ``/healthz`` took, again and again; milliseconds."""

    took: list[float] = field(default_factory=list)

    async def go_on(self, service: Service) -> None:
        """Ask until cancelled, on a connection of its own."""
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            while True:
                began = time.perf_counter()
                await client.get(f"{service.address}/healthz")
                self.took.append(1000 * (time.perf_counter() - began))
                await asyncio.sleep(PING_EVERY)


@dataclass(frozen=True, slots=True)
class Counts:
    """All counters at one moment."""

    figures: dict[str, float]
    cloud_processor: float
    cloud_calls: int
    size: int


@asynccontextmanager
async def pinged(service: Service) -> AsyncIterator[Pings]:
    """Ask for ``/healthz`` again and again during the block."""
    pings = Pings()
    task = asyncio.create_task(pings.go_on(service))
    try:
        yield pings
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def measured(stage: Stage, service: Service, database: Measured, rollouts: int, seconds: float) -> Level:
    """Let a service work for so long, and return how it did; scrapes are not in its processor time."""
    scraped = await stage.scrape(service)
    before = await _counts(stage, service, database)
    async with pinged(service) as pings:
        await asyncio.sleep(seconds)
    after = await _counts(stage, service, database)
    return _level(rollouts, before, after, (scraped, await stage.scrape(service)), pings)


async def _counts(stage: Stage, service: Service, database: Measured) -> Counts:
    figures = await service.newest()
    report = await stage.ask_cloud()
    calls = sum(count for operation, count in report["requests"].items() if operation != "list")
    return Counts(figures, report["processor"], calls, await database.size())


def _level(rollouts: int, before: Counts, after: Counts, scrapes: tuple[Scrape, Scrape], pings: Pings) -> Level:
    def grown(name: str) -> float:
        return after.figures[name] - before.figures[name]

    first, last = scrapes
    seconds, ticks = grown("at"), last.ticks - first.ticks
    each = max(ticks, 1.0)
    return Level(
        rollouts=rollouts,
        seconds=seconds,
        ticks=ticks,
        lag_p50=lag(first.lags, last.lags, 50),
        lag_p99=lag(first.lags, last.lags, 99),
        processor_ms=1000 * grown("processor") / each,
        statements=grown("statements") / each,
        commits=grown("commits") / each,
        cloud_calls=(after.cloud_calls - before.cloud_calls) / each,
        cloud_ms=1000 * (after.cloud_processor - before.cloud_processor) / each,
        core=grown("processor") / seconds,
        memory_mib=after.figures["memory_mib"],
        healthz_p99_ms=percentile(pings.took, 99),
        metrics_seconds=last.seconds,
        series=last.series,
        growth_mib_hour=(after.size - before.size) / 2**20 * 3600 / seconds,
        restart_seconds=0.0,
    )
