"""The service that is asked: the real store, app and server, on a free port of the loopback address; no cloud."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from foundry_rollouts.cli.first_byte.crowd import NOW, Crowd, fill, weigh
from foundry_rollouts.controller.health import JobHealth, Readiness
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.schema import upgrade
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.limits import Buckets
from foundry_rollouts.web.server import EmbeddedServer, config_for, listening
from foundry_rollouts.web.services import Services

POLICY = 'preset: standard\nname: standard\nagents: ["*"]\n'
A_WHILE = timedelta(minutes=1)
NO_LIMIT = 1e9  #: Requests a second.


@dataclass(frozen=True, slots=True)
class Served:
    """Where the service listens, and a rollout that it has."""

    port: int
    rollout: str


class _Nobody:
    """Wakes nobody: no tick is made here."""

    def wake_sweep(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def serving(folder: Path, crowd: Crowd) -> AsyncIterator[Served]:
    """Serve ``crowd`` out of a database in ``folder`` until the end of the block."""
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    policies = PolicyFolder(folder / "policy.yaml")
    address = f"sqlite:///{folder / 'rollouts.db'}"
    await upgrade(address)
    store, database = SqlStore(address, replica="bench", lease=A_WHILE), Database(address)
    try:
        rollout = await fill(store, crowd, policies.named("standard"))
        await weigh(database, store)
        async with _listening(_services(store, policies)) as port:
            yield Served(port, rollout)
    finally:
        await database.close()
        await store.close()


def _services(store: SqlStore, policies: PolicyFolder) -> Services:
    return Services(
        store=store,
        policies=policies,
        health=Readiness(store, policies, JobHealth(), A_WHILE, A_WHILE),
        metrics=Metrics(),
        wake=_Nobody(),
        now=lambda: NOW,
        stop=asyncio.Event(),
        project="bench / bench",
        buckets=Buckets(NO_LIMIT),
    )


@asynccontextmanager
async def _listening(services: Services) -> AsyncIterator[int]:
    server = EmbeddedServer(config_for(create_app(services)))
    with listening("127.0.0.1", 0) as doors:
        doors[0].listen()
        task = asyncio.create_task(server.serve(doors))
        try:
            yield doors[0].getsockname()[1]
        finally:
            services.stop.set()
            server.should_exit = True
            await task
