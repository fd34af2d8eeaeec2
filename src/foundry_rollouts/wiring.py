"""Builds the real world out of settings and runs it: the only place that knows every room."""

import asyncio
import random
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import stamina
import structlog
import uvicorn

from foundry_rollouts import clock
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.health import JobHealth, Readiness
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.scheduler import Intervals, Scheduler
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.errors import SchemaError, StoreError
from foundry_rollouts.foundry.auth import credential_for
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.notify.dispatcher import Courier
from foundry_rollouts.notify.webhook import Webhook
from foundry_rollouts.operations.ids import new_id
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.ports import Source, World
from foundry_rollouts.settings import Settings
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.signals.ready import ReadyCheck
from foundry_rollouts.signals.registry import every_source
from foundry_rollouts.signals.wakeups import WakeCoalescer
from foundry_rollouts.store import schema
from foundry_rollouts.store.single_replica import alone_on
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.wakeups import listen
from foundry_rollouts.telemetry import Metrics, configure_logging
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.server import EmbeddedServer, listening
from foundry_rollouts.web.services import Services

log = structlog.get_logger()

#: A rollout that nobody looked at for this long beyond three ticks is looked at whatever its due time says.
STALL_TIMEOUT = timedelta(seconds=5)
#: How long to wait before a database that is away is tried again.
LOOK_AGAIN = timedelta(seconds=2)
#: The sweep looks for due rollouts this often at most; what is urgent rings.
SWEEP = timedelta(seconds=1)
#: So many discoveries may go wrong before the service is no longer ready.
DISCOVERIES_MISSED = 3
#: How long the first discovery may take before the start is announced without it.
ANNOUNCE_WITHIN = timedelta(seconds=10)
#: How long calls that are under way at the end may take; a caller that is silent must not keep the process.
GRACE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Daemon:
    """The parts that live as long as the process."""

    scheduler: Scheduler
    services: Services
    policies: PolicyFolder
    world: World
    pulse: JobHealth
    settings: Settings

    @property
    def database_url(self) -> str:
        return self.settings.database_url


async def serve(settings: Settings) -> None:
    """Run the controller, the ops API and /metrics until SIGTERM or SIGINT; then others take over.

    Raises UsageError for wrong policies or credentials, StoreError for a database that cannot be used, RolloutsError
    for an address that is taken; nothing was started then.
    """
    configure_logging(settings.log_format)
    # Its own line would tell addresses with their query; what is tried again is counted by status in the metrics.
    stamina.instrumentation.set_on_retry_hooks([])
    policies = PolicyFolder(settings.policies)
    Credentials(settings.source_credentials).check()
    with listening(settings.host, settings.port) as sockets, alone_on(settings.database_url):
        if settings.database_url.startswith("sqlite:"):
            await _until_usable(settings.database_url)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with daemon(settings, policies, stop) as parts:
            await _run(parts, sockets, stop)


@asynccontextmanager
async def daemon(settings: Settings, policies: PolicyFolder, stop: asyncio.Event) -> AsyncIterator[Daemon]:
    """Build every part out of ``settings`` and take them down again."""
    metrics, bells, pulse = Metrics(), Wakeups(), JobHealth()
    period = timedelta(seconds=settings.tick_seconds)
    rhythm = _rhythm(settings, period)
    async with _world(settings, policies, metrics, bells) as world:
        scheduler = bells.scheduler = Scheduler(
            Ticker(world, metrics, clock.now, period, OfflineGuard(world, metrics, clock.now)),
            Discovery(world, metrics, LeasePool(world.store, clock.elapsed), clock.now, new_id),
            pulse,
            rhythm,
            clock.now,
        )
        patience = max(timedelta(seconds=30), 3 * rhythm.sweep)
        services = Services(
            store=world.store,
            policies=policies,
            health=Readiness(world.store, policies, pulse, patience, DISCOVERIES_MISSED * rhythm.discovery),
            metrics=metrics,
            wake=scheduler,
            now=clock.now,
            stop=stop,
            hosts=frozenset({settings.host}),
            catalogue=world.cloud,
        )
        yield Daemon(scheduler, services, policies, world, pulse, settings)


@dataclass(slots=True)
class Wakeups:
    """What is rung at the scheduler; before there is one, for nobody."""

    scheduler: Scheduler | None = None

    def sweep(self) -> None:
        """Something became due before its time."""
        if self.scheduler is not None:
            self.scheduler.ring()

    def outbox(self) -> None:
        """A message was left to be sent."""
        if self.scheduler is not None:
            self.scheduler.ring_outbox()


@asynccontextmanager
async def _world(settings: Settings, policies: PolicyFolder, metrics: Metrics, bells: Wakeups) -> AsyncIterator[World]:
    """Open all that the controller leans on, and close it again."""
    credential = credential_for(settings.credential, settings.project_endpoint, clock.now)
    cloud = FoundryClient(settings.project_endpoint, credential, on_request=metrics.requested)
    store = SqlStore(
        settings.database_url,
        replica=settings.replica,
        lease=timedelta(seconds=settings.lease_seconds),
        on_message=bells.outbox if settings.webhook.url else None,
    )
    alarm = WakeCoalescer(store, clock.now, bells.sweep)
    sources = every_source(cloud, store, clock.now, alarm, Credentials(settings.source_credentials))
    ready = ReadyCheck(cloud, clock.now, alarm)
    courier = _courier(settings, store, metrics)
    try:
        if settings.database_url.startswith("sqlite:"):
            await store.take_over()
        yield World(cloud, cloud, store, policies, sources, courier, ready)
    finally:
        await ready.close()
        await _let_go(sources, alarm)
        await courier.aclose()
        await cloud.aclose()
        await store.close()


def _courier(settings: Settings, store: SqlStore, metrics: Metrics) -> Courier:
    webhook, receiver = settings.webhook, None
    if webhook.url is not None:
        receiver = Webhook(webhook.url, settings.project_endpoint, webhook.key, webhook.timeout, clock.now)
    return Courier(store, receiver, metrics, clock.now, webhook.patience, random.SystemRandom().random)


async def _let_go(sources: Sequence[Source], alarm: WakeCoalescer) -> None:
    """Stop watching; what a source has seen by then may still wake a rollout."""
    for source in sources:
        await source.close()
    await alarm.close()


def _rhythm(settings: Settings, period: timedelta) -> Intervals:
    return Intervals(
        sweep=min(SWEEP, period / 2),
        discovery=timedelta(seconds=settings.discovery_seconds),
        renewal=timedelta(seconds=settings.lease_seconds) / 3,
        neglect=3 * period + STALL_TIMEOUT,
        memory=timedelta(days=settings.retention_days),
    )


async def _run(parts: Daemon, sockets: list[socket.socket], stop: asyncio.Event) -> None:
    """Run everything until ``stop`` is set, then let go in order: no new ticks, no new requests, the end."""
    config = uvicorn.Config(
        create_app(parts.services),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = EmbeddedServer(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=sockets))
        ears = group.create_task(listen(parts.database_url, parts.scheduler.ring))
        _show_policies(parts)
        group.create_task(parts.policies.watch(stop, on_reload=lambda: _take_policies(parts)))
        host, port = sockets[0].getsockname()[:2]
        starting = group.create_task(_announce(parts, f"{host}:{port}"))
        working = group.create_task(_work(parts))
        await stop.wait()
        working.cancel()
        starting.cancel()
        log.info("daemon.stopping", because="asked to stop; others take over what is in hand")
        await parts.scheduler.stop()
        ears.cancel()
        server.should_exit = True
    log.info("daemon.stopped")


async def _work(parts: Daemon) -> None:
    """Begin to work once the database can be used."""
    await _until_usable(parts.database_url)
    parts.scheduler.start()


async def _until_usable(url: str) -> None:
    """Bring the embedded database to our schema; wait for a server that is away, and demand our schema of it.

    Raises SchemaError for a server whose schema is not ours: an upgrade there is somebody's decision.
    """
    if url.startswith("sqlite:"):
        await schema.upgrade(url)
        return
    is_told = False
    while True:
        try:
            await schema.check(url)
        except SchemaError:
            raise
        except StoreError as error:
            if not is_told:
                log.warning("database.lost", because=str(error))
            is_told = True
            await asyncio.sleep(LOOK_AGAIN.total_seconds())
        else:
            return


async def _announce(parts: Daemon, listen: str) -> None:
    """Say once what this process watches over, and what it does not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ANNOUNCE_WITHIN.total_seconds()):
            await parts.pulse.is_tried.wait()
    survey, is_known = parts.pulse.survey, parts.pulse.discovered_at is not None
    log.info(
        "daemon.started",
        listen=listen,
        project=parts.settings.project_endpoint,
        policies=len(parts.policies.all()),
        governed=survey.governed if is_known else None,
        ungoverned=survey.ungoverned if is_known else None,
        database=parts.settings.database_name,
        notifies=["webhook"] if parts.settings.webhook.url else [],
        because=None if is_known else parts.pulse.trouble or "the agents were not listed yet",
    )


def _take_policies(parts: Daemon) -> None:
    """Say what a reload brought, and look at once for agents that gained or lost a policy by it."""
    for problem in parts.policies.problems:
        log.warning("policies.refused", because=problem)
    log.info("policies.loaded", count=len(parts.policies.all()))
    _show_policies(parts)
    parts.scheduler.ring_discovery()


def _show_policies(parts: Daemon) -> None:
    parts.services.metrics.policies(len(parts.policies.all()), len(parts.policies.problems))
