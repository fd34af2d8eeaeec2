"""The life of the service: it starts, announces itself, works until it is asked to stop, and shuts down in order."""

import asyncio
import gc
import os
import signal
import socket
from contextlib import ExitStack, suppress
from datetime import timedelta

import stamina
import structlog

from foundry_rollouts.clock import now
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.errors import SchemaError, StoreError, UsageError
from foundry_rollouts.operations.projects import bind
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.policies.projects import ProjectPolicies
from foundry_rollouts.settings import PREFIX, Settings, wanted_traces
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.store import schema
from foundry_rollouts.store.single_replica import single_replica_of
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.wakeups import listen
from foundry_rollouts.telemetry import configure_logging
from foundry_rollouts.telemetry.exporting import exporting
from foundry_rollouts.web.app import create_app, create_metrics_app
from foundry_rollouts.web.server import EmbeddedServer, config_for, listening
from foundry_rollouts.wiring import Daemon, built, check_targets

log = structlog.get_logger()

#: How long to wait before a database that is away is tried again.
RETRY_AFTER = timedelta(seconds=2)
#: How long the first discovery may take before the start is announced without it.
ANNOUNCE_WITHIN = timedelta(seconds=10)


async def serve(settings: Settings) -> None:
    """Run the controller, the ops API and /metrics until SIGTERM or SIGINT; then others take over.

    Raises UsageError for wrong policies or credentials and for an address that is open to everybody, StoreError for a
    database that cannot be used, RolloutsError for an address that is taken; nothing was started then.
    """
    configure_logging(settings.log_format)
    # Its own line would tell addresses with their query; what is tried again is counted by status in the metrics.
    stamina.instrumentation.set_on_retry_hooks([])
    policies = await read_policies(settings)
    Credentials(settings.source_credentials).check()
    check_targets(settings)
    await _refuse_open_address(settings)
    _collect_seldom()
    with ExitStack() as opened:
        if traces := wanted_traces():
            opened.enter_context(exporting(traces.refusal, settings.replica))
        doors = [opened.enter_context(listening(host, port)) for host, port in settings.doors]
        opened.enter_context(single_replica_of(settings.database_url))
        if settings.database_url.startswith("sqlite:"):
            await _until_usable(settings.database_url)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with built(settings, policies, stop) as parts:
            await _run(parts, doors, stop)


def _collect_seldom() -> None:
    """Let the collector of cycles pass over what is there for good, and come for 50 000 objects instead of 700.

    Each rollout in progress is some hundred objects that live on; to walk over all of them costs a tenth of the
    processor at a thousand rollouts, and finds nothing. What outlives one pass is walked over again after a hundred of
    them: at ten thousand rollouts that holds everything up for half a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 100, 20)


async def _refuse_open_address(settings: Settings) -> None:
    """Raise UsageError for an address that other machines reach while nothing says who may come in.

    A database that is away cannot say whether there is a token: nobody comes in until it is back.
    """
    if not settings.needs_a_token:
        return
    store = SqlStore(settings.database_url, replica=settings.replica, lease=timedelta(0))
    try:
        tokens = await store.tokens() if await schema.current(settings.database_url) else ()
    except StoreError as error:
        log.warning("database.lost", because=str(error))
        return
    finally:
        await store.close()
    if all(token.refusal(now()) for token in tokens):
        raise UsageError(
            f"{PREFIX}LISTEN: {settings.listen!r} can be reached from other machines, and nothing says who may come "
            f"in: make a token (foundry-rollouts token create --owner NAME --role admin), set {PREFIX}ENTRA__TENANT "
            f"and {PREFIX}ENTRA__CLIENT_ID, or set {PREFIX}ACCESS=required"
        )


async def _run(parts: Daemon, doors: list[list[socket.socket]], stop: asyncio.Event) -> None:
    """Run everything until ``stop`` is set, then stop in order: no new ticks, no new requests, the end."""
    apps = (create_app(parts.services), create_metrics_app(parts.services))
    servers = [EmbeddedServer(config_for(app)) for app, _ in zip(apps, doors, strict=False)]
    async with asyncio.TaskGroup() as group:
        for server, sockets in zip(servers, doors, strict=True):
            group.create_task(server.serve(sockets=sockets))
        ears = group.create_task(listen(parts.database_url, parts.scheduler.hear))
        _show_policies(parts)
        group.create_task(parts.policies.watch(stop, on_reload=lambda: _take_policies(parts)))
        starting = group.create_task(_announce(parts, *(_address(sockets) for sockets in doors)))
        working = group.create_task(_work(parts))
        await stop.wait()
        working.cancel()
        starting.cancel()
        _notify("STOPPING=1")
        log.info("daemon.stopping", because="asked to stop; other replicas take over its leases")
        await parts.scheduler.stop()
        ears.cancel()
        for server in servers:
            server.should_exit = True
    log.info("daemon.stopped")


async def _work(parts: Daemon) -> None:
    """Begin to work once the database can be used."""
    await _until_usable(parts.database_url)
    await _refuse_another_project(parts)
    parts.scheduler.start()
    await _warn_of_nobody(parts)


async def read_policies(settings: Settings) -> PolicyFolder | ProjectPolicies:
    """Read the policies; where agents are named by their project, those of each project. Raises PolicyError."""
    if not await _is_by_project(settings):
        return PolicyFolder(settings.watched[0].policies or settings.policies)
    own = {each.name: PolicyFolder(each.policies) for each in settings.watched if each.policies}
    is_shared = len(own) < len(settings.watched)
    return ProjectPolicies(PolicyFolder(settings.policies) if is_shared else None, own)


async def _is_by_project(settings: Settings) -> bool:
    """Whether agents are named by their project: there are several, or the database names them so already.

    A database that is away says so later, and this service begins anew then.
    """
    if not settings.projects or len(settings.projects) > 1:
        return bool(settings.projects)
    store = SqlStore(settings.database_url, replica=settings.replica, lease=timedelta(0))
    try:
        return bool((await store.projects()).several) if await schema.current(settings.database_url) else False
    except StoreError:
        return False
    finally:
        await store.close()


async def _refuse_another_project(parts: Daemon) -> None:
    """Raise UsageError where the database knows the agents of another project: ours would be taken for those."""
    while True:
        try:
            return await bind_projects(parts)
        except StoreError as error:
            log.warning("database.lost", because=str(error))
            await asyncio.sleep(RETRY_AFTER.total_seconds())


async def bind_projects(parts: Daemon) -> None:
    """Let the database be of the projects that are watched. Raises UsageError where it is of others."""
    store, watched, database = parts.services.store, parts.settings.watched, parts.settings.database_name
    if parts.discoveries is not None:
        await parts.discoveries.let_go(
            await bind(store, {each.name: each.identity for each in watched}, database, now())
        )
        return
    ours = watched[0].identity
    known = await store.bind_project(ours, now())
    if known != ours:
        raise UsageError(
            f"the database {database} is of project {known}, and this service watches {ours}:"
            " agents of one name would be taken for one another. Give each project a database of its own; where it is"
            " the same project under another address, run: foundry-rollouts db project URL"
        )


async def _warn_of_nobody(parts: Daemon) -> None:
    """Say so when everybody is asked for a token, and nobody has one."""
    if parts.settings.is_open or parts.settings.entra.is_set:
        return
    with suppress(StoreError):
        now = parts.services.now()
        if all(token.refusal(now) for token in await parts.services.store.tokens()):
            log.warning("access.nobody", because="no token is valid: make one with foundry-rollouts token create")


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
            await asyncio.sleep(RETRY_AFTER.total_seconds())
        else:
            return


def _address(sockets: list[socket.socket]) -> str:
    host, port = sockets[0].getsockname()[:2]
    return f"{host}:{port}"


async def _announce(parts: Daemon, listen: str, metrics: str | None = None) -> None:
    """Say once what this process watches over, and what it does not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ANNOUNCE_WITHIN.total_seconds()):
            await parts.job_health.is_tried.wait()
    survey, is_known = parts.job_health.survey, parts.job_health.discovered_at is not None
    log.info(
        "daemon.started",
        listen=listen,
        metrics=metrics or listen,
        access="open to everybody on this machine" if parts.settings.is_open else "required",
        project=", ".join(each.endpoint for each in parts.settings.watched),
        policies=len(parts.policies.all()),
        governed=survey.governed if is_known else None,
        ungoverned=survey.ungoverned if is_known else None,
        database=parts.settings.database_name,
        notifies=["webhook"] if parts.settings.webhook.url else [],
        because=None if is_known else parts.job_health.trouble or "the agents were not listed yet",
    )
    _notify("READY=1")


def _notify(state: str) -> None:
    """Report ``state`` to the service manager that started this process, if one waits for it (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def _take_policies(parts: Daemon) -> None:
    """Report what a reload changed, and check at once for agents that gained or lost a policy by it."""
    for problem in parts.policies.problems:
        log.warning("policies.refused", because=problem)
    log.info("policies.loaded", count=len(parts.policies.all()))
    _show_policies(parts)
    parts.scheduler.wake_discovery()


def _show_policies(parts: Daemon) -> None:
    metrics, policies = parts.services.metrics, parts.policies
    said = {policy.name: policy_hash(policy) for policy in policies.all()}
    metrics.policies(said, len(policies.problems), now())
