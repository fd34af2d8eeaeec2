"""Builds every part out of the settings: the only place that knows every room."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog

from foundry_rollouts import clock
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.health import JobHealth, Readiness
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.scheduler import Intervals, Scheduler
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.forecast.duration import time_needed
from foundry_rollouts.entra.keys import Keys
from foundry_rollouts.entra.people import Believed, Entra
from foundry_rollouts.entra.sign_in import Client, SignInAtProvider
from foundry_rollouts.foundry.auth import credential_for
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.notify.announcer import Announcer, Speaker, Voice
from foundry_rollouts.notify.chat import Chat
from foundry_rollouts.notify.dispatcher import Dispatcher
from foundry_rollouts.notify.everybody import Everybody
from foundry_rollouts.notify.marks import ApplicationInsights, GitHub, Grafana
from foundry_rollouts.notify.targets import Target, read_targets
from foundry_rollouts.notify.webhook import Webhook
from foundry_rollouts.operations.ids import new_id
from foundry_rollouts.operations.log_tail import LogTails
from foundry_rollouts.operations.sign_ins import Limits
from foundry_rollouts.policies.calendars import CalendarFiles
from foundry_rollouts.policies.export import as_written
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.ports import Audience, Source, World
from foundry_rollouts.settings import Settings
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.signals.ready import ReadyCheck
from foundry_rollouts.signals.registry import every_source
from foundry_rollouts.signals.wakeups import WakeCoalescer
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.limits import Buckets
from foundry_rollouts.web.services import Services

log = structlog.get_logger()

#: A rollout without a tick for this long beyond three intervals gets one whatever its due time says.
STALL_TIMEOUT = timedelta(seconds=5)
#: The sweep checks for due rollouts this often at most; what is urgent wakes it.
SWEEP = timedelta(seconds=1)
#: A heartbeat is written this often at most.
HEARTBEAT = timedelta(seconds=0.5)
#: So many discoveries may go wrong before the service is no longer ready.
DISCOVERIES_MISSED = 3


@dataclass(frozen=True, slots=True)
class Daemon:
    """The parts that live as long as the process."""

    scheduler: Scheduler
    services: Services
    policies: PolicyFolder
    world: World
    job_health: JobHealth
    settings: Settings

    @property
    def database_url(self) -> str:
        return self.settings.database_url


@asynccontextmanager
async def built(settings: Settings, policies: PolicyFolder, stop: asyncio.Event) -> AsyncIterator[Daemon]:
    """Build every part out of ``settings`` and take them down again."""
    metrics, wakeups, job_health = Metrics(most_agents=settings.metrics_agents), Wakeups(), JobHealth()
    period = timedelta(seconds=settings.tick_seconds)
    intervals = _intervals(settings, period)
    async with _world(settings, policies, metrics, wakeups) as (world, announcer):
        discovery = Discovery(world, metrics, LeasePool(world.store, clock.elapsed), clock.now, new_id)
        ticker = Ticker(world, metrics, clock.now, period, OfflineGuard(world, metrics, clock.now))
        scheduler = wakeups.scheduler = Scheduler(ticker, discovery, job_health, intervals, clock.now)
        patience = max(timedelta(seconds=30), 3 * intervals.sweep)
        people = _people(settings)
        logs = LogTails(world.sessions, clock.now)
        services = Services(
            store=world.store,
            policies=policies,
            health=Readiness(world.store, policies, job_health, patience, DISCOVERIES_MISSED * intervals.discovery),
            metrics=metrics,
            wake=scheduler,
            now=clock.now,
            stop=stop,
            project=settings.project_name,
            hosts=settings.host_names,
            is_open=settings.is_open,
            identities=people,
            directory=_directory(settings, people),
            buckets=Buckets(settings.requests_per_second),
            has_metrics=settings.metrics_listen is None,
            are_metrics_open=settings.are_metrics_open,
            proxies=settings.proxies,
            base_path=settings.base_path,
            sign_in_limits=_sign_in_limits(settings),
            written=as_written,
            catalogue=world.cloud,
            targets=announcer,
            logs=logs,
        )
        try:
            yield Daemon(scheduler, services, policies, world, job_health, settings)
        finally:
            await logs.close()
            if people is not None:
                await people.close()


@dataclass(slots=True)
class Wakeups:
    """Wakes the scheduler, once there is one."""

    scheduler: Scheduler | None = None

    def sweep(self) -> None:
        """Something became due before its time."""
        if self.scheduler is not None:
            self.scheduler.wake_sweep()

    def outbox(self) -> None:
        """A message was left to be sent."""
        if self.scheduler is not None:
            self.scheduler.wake_outbox()


@asynccontextmanager
async def _world(
    settings: Settings, policies: PolicyFolder, metrics: Metrics, wakeups: Wakeups
) -> AsyncIterator[tuple[World, Announcer]]:
    """Open all that the controller depends on, and close it again."""
    audience = _audience(settings)
    credential = credential_for(settings.credential, settings.project_endpoint, clock.now)
    cloud = FoundryClient(settings.project_endpoint, credential, on_request=metrics.requested)
    store = SqlStore(
        settings.database_url,
        replica=settings.replica,
        lease=timedelta(seconds=settings.lease_seconds),
        on_message=wakeups.outbox if audience else None,
    )
    store.audience = audience
    alarm = WakeCoalescer(store, clock.now, wakeups.sweep)
    sources = every_source(cloud, store, clock.now, alarm, Credentials(settings.source_credentials))
    ready = ReadyCheck(cloud, clock.now, alarm)
    dispatcher, announcer = _courier(settings, store, metrics), _announcer(settings, store, metrics)
    try:
        if settings.database_url.startswith("sqlite:"):
            await store.take_over()
        notifier, calendars = Everybody((dispatcher, announcer)), CalendarFiles(settings.calendar)
        yield World(cloud, cloud, store, policies, sources, notifier, ready, calendars, time_needed), announcer
    finally:
        await ready.close()
        await _let_go(sources, alarm)
        await dispatcher.aclose()
        await announcer.aclose()
        await cloud.aclose()
        await store.close()


def _sign_in_limits(settings: Settings) -> Limits:
    return Limits(timedelta(hours=settings.signed_in_idle_hours), timedelta(hours=settings.signed_in_hours))


def _directory(settings: Settings, people: Entra | None) -> SignInAtProvider | None:
    entra = settings.entra
    if people is None or entra.client_id is None:
        return None
    secret = entra.client_secret.get_secret_value() if entra.client_secret else None
    return SignInAtProvider(Client(entra.client_id, secret, entra.issuer), people)


def _people(settings: Settings) -> Entra | None:
    entra = settings.entra
    if not entra.is_set:
        return None
    believed = Believed(entra.issuers, entra.audiences, entra.tenant, entra.granted)
    return Entra(Keys(entra.issuer, clock.elapsed), believed, clock.now)


def _courier(settings: Settings, store: SqlStore, metrics: Metrics) -> Dispatcher:
    webhook, receiver = settings.webhook, None
    if webhook.url is not None:
        receiver = Webhook(webhook.url, settings.project_endpoint, webhook.key, webhook.timeout, clock.now)
    return Dispatcher(store, receiver, metrics, clock.now, webhook.patience, random.SystemRandom().random)


def check_targets(settings: Settings) -> None:
    """Raise UsageError when the file of targets is not as it has to be."""
    read_targets(settings.notify_targets)


def _audience(settings: Settings) -> Audience:
    """Return who is there to hear of events."""
    receiver = Audience.RECEIVER if settings.webhook.url else Audience.NOBODY
    return receiver | (Audience.TARGETS if read_targets(settings.notify_targets) else Audience.NOBODY)


def _announcer(settings: Settings, store: SqlStore, metrics: Metrics) -> Announcer:
    webhook = settings.webhook
    speakers = [Speaker(target, _voice(target, webhook.timeout)) for target in read_targets(settings.notify_targets)]
    chance = random.SystemRandom().random
    return Announcer(store, speakers, metrics, clock.now, webhook.patience, chance)


def _voice(target: Target, limit: timedelta) -> Voice:
    """Return what reaches ``target``."""
    url = target.url.rstrip("/")
    match target.mark:
        case "grafana":
            return Grafana(url, target.token, limit)
        case "github":
            return GitHub(url, target.token, limit, target.path, target.ref)
        case "application-insights":
            return ApplicationInsights(url, target.token, limit, target.path)
        case _:
            return Chat(target.url, limit)


async def _let_go(sources: Sequence[Source], alarm: WakeCoalescer) -> None:
    """Stop watching; what a source has seen by then may still wake a rollout."""
    for source in sources:
        await source.close()
    await alarm.close()


def _intervals(settings: Settings, period: timedelta) -> Intervals:
    lease = timedelta(seconds=settings.lease_seconds)
    return Intervals(
        sweep=min(SWEEP, period / 2),
        discovery=timedelta(seconds=settings.discovery_seconds),
        renewal=lease / 3,
        heartbeat=min(lease / 3, max(lease / 10, HEARTBEAT)),
        lease=lease,
        stall_after=3 * period + STALL_TIMEOUT,
        memory=timedelta(days=settings.retention_days),
        ticks_at_once=settings.concurrent_ticks,
    )
