"""Builds every part out of the settings: the only place that knows every room."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from foundry_rollouts import clock
from foundry_rollouts.controller.brakes import BrakeFacts
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.fleet import AllAgents
from foundry_rollouts.controller.health import JobHealth, Readiness
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.listings import Listings
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.projects import WAIT, Discoveries, Listing, ProjectState
from foundry_rollouts.controller.scheduler import Intervals, Scheduler
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.core.forecast.duration import time_needed
from foundry_rollouts.entra.keys import Keys
from foundry_rollouts.entra.people import Believed, Entra
from foundry_rollouts.entra.sign_in import Client, SignInAtProvider
from foundry_rollouts.foundry.auth import credential_for
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.projects import Projects
from foundry_rollouts.notify.announcer import Announcer, Speaker
from foundry_rollouts.notify.dispatcher import Dispatcher
from foundry_rollouts.notify.everybody import Everybody
from foundry_rollouts.notify.targets import read_targets
from foundry_rollouts.notify.voices import voice_of
from foundry_rollouts.notify.webhook import Webhook
from foundry_rollouts.operations.ids import new_id
from foundry_rollouts.operations.log_tail import LogTails
from foundry_rollouts.operations.sign_ins import Limits
from foundry_rollouts.policies.calendars import CalendarFiles
from foundry_rollouts.policies.export import as_written
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.policies.limits import GivenLimits, LimitsInForce
from foundry_rollouts.policies.projects import ProjectPolicies
from foundry_rollouts.ports import Audience, Source, World
from foundry_rollouts.settings import Project, Settings
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.signals.ready import ReadyCheck
from foundry_rollouts.signals.registry import Provisions, every_source
from foundry_rollouts.signals.streams import Streams
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

#: The policies of one project, or of several by their names.
WatchedPolicies = PolicyFolder | ProjectPolicies


@dataclass(frozen=True, slots=True)
class Daemon:
    """The parts that live as long as the process."""

    scheduler: Scheduler
    services: Services
    policies: WatchedPolicies
    world: World
    job_health: JobHealth
    settings: Settings
    discoveries: Discoveries | None = None  #: Where agents are named by their project.

    @property
    def database_url(self) -> str:
        return self.settings.database_url


@asynccontextmanager
async def built(settings: Settings, policies: WatchedPolicies, stop: asyncio.Event) -> AsyncIterator[Daemon]:
    """Build every part out of ``settings`` and take them down again; the policies say whether projects have names."""
    metrics, wakeups, job_health = Metrics(most_agents=settings.metrics_agents), Wakeups(), JobHealth()
    period = timedelta(seconds=settings.tick_seconds)
    intervals = _intervals(settings, period)
    async with _world(settings, policies, metrics, wakeups) as (world, announcer):
        ticker = Ticker(world, metrics, clock.now, period, OfflineGuard(world, metrics, clock.now))
        discovery = _discovery(settings, world, metrics, intervals.discovery, ticker.reads.listings)
        several = discovery if isinstance(discovery, Discoveries) else None
        scheduler = wakeups.scheduler = Scheduler(ticker, discovery, job_health, intervals, clock.now)
        world.store.hear_here(scheduler.wake)
        people = _people(settings)
        logs = LogTails(world.sessions, clock.now)
        services = Services(
            store=world.store,
            policies=policies,
            health=_readiness(world, job_health, intervals, several),
            metrics=metrics,
            wake=scheduler,
            now=clock.now,
            stop=stop,
            project=settings.project_name,
            identities=people,
            directory=_directory(settings, people),
            written=as_written,
            catalogue=world.cloud,
            targets=announcer,
            brakes=world.brakes,
            projects=tuple(each.name for each in settings.watched) if several is not None else (),
            logs=logs,
            **_doors(settings),
        )
        try:
            yield Daemon(scheduler, services, policies, world, job_health, settings, several)
        finally:
            for each in (several, logs, people):
                if each is not None:
                    await each.close()


def _doors(settings: Settings) -> dict[str, Any]:
    """Return how people and programs come in, as the settings say it."""
    return {
        "hosts": settings.host_names,
        "is_open": settings.is_open,
        "buckets": Buckets(settings.requests_per_second),
        "has_metrics": settings.metrics_listen is None,
        "are_metrics_open": settings.are_metrics_open,
        "proxies": settings.proxies,
        "base_path": settings.base_path,
        "sign_in_limits": _sign_in_limits(settings),
        "links": settings.links,
    }


def _readiness(world: World, jobs: JobHealth, intervals: Intervals, several: Discoveries | None) -> Readiness:
    patience = max(timedelta(seconds=30), 3 * intervals.sweep)
    listed_within = DISCOVERIES_MISSED * intervals.discovery
    return Readiness(world.store, world.policies, jobs, patience, listed_within, several)


@dataclass(slots=True)
class Wakeups:
    """Wakes the scheduler, once there is one."""

    scheduler: Scheduler | None = None

    def outbox(self) -> None:
        """A message was left to be sent."""
        if self.scheduler is not None:
            self.scheduler.wake_outbox()


@asynccontextmanager
async def _world(
    settings: Settings, policies: WatchedPolicies, metrics: Metrics, wakeups: Wakeups
) -> AsyncIterator[tuple[World, Announcer]]:
    """Open all that the controller depends on, and close it again."""
    audience = _audience(settings)
    clients = {each.name: _client(each, metrics) for each in settings.watched}
    is_by_project = isinstance(policies, ProjectPolicies)
    cloud = Projects(clients) if is_by_project else next(iter(clients.values()))
    store = SqlStore(
        settings.database_url,
        replica=settings.replica,
        lease=timedelta(seconds=settings.lease_seconds),
        on_message=wakeups.outbox if audience else None,
    )
    store.audience = audience
    alarm = WakeCoalescer(store, clock.now)
    sources = every_source(cloud, store, clock.now, alarm, _provisions(settings, metrics))
    ready = ReadyCheck(cloud, clock.now, alarm)
    dispatcher, announcer = _courier(settings, store, metrics), _announcer(settings, store, metrics)
    brakes = BrakeFacts(store, metrics)
    try:
        if settings.database_url.startswith("sqlite:"):
            await store.take_over()
        notifier, calendars = Everybody((dispatcher, announcer)), CalendarFiles(settings.calendar)
        fleet = _fleet(settings, store, policies)
        seen = World(cloud, cloud, store, policies, sources, notifier, ready, calendars, fleet, time_needed, brakes)
        yield seen, announcer
    finally:
        await ready.close()
        await _let_go(sources, alarm)
        for each in (brakes, dispatcher, announcer, cloud):
            await each.aclose()
        await store.close()


def _fleet(settings: Settings, store: SqlStore, policies: WatchedPolicies) -> AllAgents:
    limits = LimitsInForce(*(settings.limits or GivenLimits()), clock.elapsed)
    return AllAgents(store, policies, limits, clock.elapsed)


def _provisions(settings: Settings, metrics: Metrics) -> Provisions:
    streams = Streams(clock.now, settings.log_streams)
    metrics.follow_streams(streams)
    return Provisions(Credentials(settings.source_credentials), streams)


def _client(project: Project, metrics: Metrics) -> FoundryClient:
    credential = credential_for(project.credential, project.endpoint, clock.now)
    return FoundryClient(project.endpoint, credential, on_request=metrics.requested)


def _discovery(settings: Settings, world: World, metrics: Metrics, every: timedelta, kept: Listings) -> Listing:
    """Return what lists the agents: each of several projects for itself."""
    pool = LeasePool(world.store, clock.elapsed)
    cloud, policies = world.cloud, world.policies
    if not (isinstance(cloud, Projects) and isinstance(policies, ProjectPolicies)):
        return Discovery(world, metrics, pool, clock.now, new_id, listings=kept)
    troubles, states = Troubles(), {}
    for name in (each.name for each in settings.watched):
        own = replace(world, cloud=cloud.listing(name), policies=policies.of(name))
        sick = Troubles(sick=troubles.sick)  # What ticks say is of all projects, what a listing says is of its own.
        made = Discovery(own, metrics, pool, clock.now, new_id, troubles=sick, listings=kept, project=name)
        states[name] = ProjectState(made)
    patience, wait = DISCOVERIES_MISSED * every, min(WAIT, every / 2)
    return Discoveries(states, metrics, clock.now, patience, world.store, pool, troubles, wait)


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
        sources = {each.name: each.endpoint for each in settings.watched}
        receiver = Webhook(webhook.url, settings.watched[0].endpoint, webhook.key, webhook.timeout, clock.now, sources)
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
    speakers = [Speaker(target, voice_of(target, webhook.timeout)) for target in read_targets(settings.notify_targets)]
    chance = random.SystemRandom().random
    return Announcer(store, speakers, metrics, clock.now, webhook.patience, chance, settings.links)


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
