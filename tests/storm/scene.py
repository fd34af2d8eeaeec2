"""The scene of a storm: agents on a local Foundry, replicas on one PostgreSQL, a bad network before both."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
from sqlalchemy import make_url

from databases import a_postgresql_database, a_postgresql_server, a_postgresql_template
from fault_proxy import CALM, Ending, Fate, FaultProxy
from foundry_rollouts.cli.demo.stage import free_port
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.store.store import SqlStore
from storm.processes import PATHS, SERVE, Launcher, Running, until_answers

PROTOCOLS = {"responses": "2.0.0"}

#: Coarse on purpose: a good canary is told from a bad one in a dozen calls, so that storms are about storms.
#: It tolerates what the bad network breaks of a good one's calls, which hits either version by chance.
POLICY = """
name: storm
agents: ["agent-*"]
steps:
  - {weight: 10, min: 2s}
  - {weight: 50, min: 2s}
  - {weight: 100, min: 2s}
judge: {tolerate: 1.2x + 20pp, bad: 3x + 40pp}
sources:
  probe: {every: 1s, pairs: 1}
gates:
  - error-rate: {sources: [probe], max: 40%}
"""

#: What the cloud itself does wrong, now and then.
CLOUD_FAULTS = (
    {"operation": "agents.patch", "drop": True, "applied": True, "rate": 0.1},
    {"operation": "agents.patch", "status": 504, "code": "timeout", "message": "late", "apply_after": 2, "rate": 0.1},
    {"operation": "agents.patch", "status": 429, "code": "slow_down", "message": "busy", "retry_after": 1, "rate": 0.1},
    {"operation": "agents.get", "status": 503, "code": "unavailable", "message": "away", "rate": 0.05},
    {"operation": "sessions.create", "status": 429, "code": "slow_down", "message": "busy", "rate": 0.05},
)


#: How many seconds the clocks of replicas may be off, where they are.
CLOCKS = (-1.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a storm is; ``good`` and ``bad`` are numbers of agents."""

    seconds: float = 150
    good: int = 30
    bad: int = 20
    replicas: int = 3
    lease_seconds: float = 5
    seed: int = 1
    only_deaths: bool = False  #: No faults of network, database and cloud.
    has_members: bool = False  #: Replicas come and go, heartbeats stall, clocks differ.

    @property
    def endings(self) -> dict[str, str]:
        """Return how the rollout of each agent has to end."""
        endings = ["promoted"] * self.good + ["rolled_back"] * self.bad
        random.Random(self.seed).shuffle(endings)
        return {f"agent-{number:02}": ending for number, ending in enumerate(endings)}


@dataclass(slots=True)
class Scene:
    """Everything that stands while a storm blows."""

    plan: Plan
    folder: Path
    database_url: str
    database: FaultProxy
    network: FaultProxy
    emulator: str
    launcher: Launcher
    dice: random.Random
    replicas: list[Running] = field(default_factory=list)
    born: int = 0

    @property
    def settings(self) -> dict[str, str]:
        return {
            "PROJECT_ENDPOINT": f"http://127.0.0.1:{self.network.port}/api/projects/local",
            "CREDENTIAL": "emulator",
            "DATABASE_URL": through(self.database_url, self.database.port),
            "POLICIES": str(self.folder / "policy.yaml"),
            "TICK_SECONDS": "1",
            "DISCOVERY_SECONDS": "3",
            "LEASE_SECONDS": f"{self.plan.lease_seconds:g}",
            "LOG_FORMAT": "json",
        }

    async def a_replica(self, *, ready: bool = False, paths: str = PATHS, is_guest: bool = False) -> Running:
        """Start a replica under a name that no earlier one had, as a new pod would be; a guest is not counted."""
        self.born += 1
        program = ("storm.late_clock", f"{self.dice.choice(CLOCKS)}") if self.plan.has_members else SERVE
        name = f"replica-{self.born}"
        replica = await self.launcher.replica(name, free_port(), self.settings, program, paths)
        if not is_guest:
            self.replicas.append(replica)
        if ready:
            await until_answers(f"{replica.address}/readyz", replica, self.folder)
        return replica

    @asynccontextmanager
    async def cloud(self) -> AsyncIterator[FoundryClient]:
        """Open the cloud on its own line, which has no faults of the network."""
        async with FoundryClient(f"{self.emulator}/api/projects/local", FixedToken()) as client:
            yield client

    @asynccontextmanager
    async def store(self) -> AsyncIterator[SqlStore]:
        """Open the database on its own line."""
        store = SqlStore(self.database_url, replica="onlooker", lease=timedelta(seconds=1))
        try:
            yield store
        finally:
            await store.close()

    async def deploy(self, agent: str, image: str) -> None:
        async with self.cloud() as cloud:
            await cloud.api.versions.create(agent, Definition(image=image, protocols=PROTOCOLS))

    async def disturb_cloud(self) -> None:
        """Let the cloud itself go wrong now and then."""
        async with httpx.AsyncClient() as client:
            for fault in CLOUD_FAULTS:
                (await client.post(f"{self.emulator}/_emulator/faults", json=fault)).raise_for_status()

    async def calm_down(self) -> None:
        """End every fault; what goes on from here goes on in good weather."""
        self.network.fate = self.database.fate = lambda: CALM
        self.database.restore()
        self.network.restore()
        async with httpx.AsyncClient() as client:
            (await client.delete(f"{self.emulator}/_emulator/faults")).raise_for_status()


@asynccontextmanager
async def a_scene(plan: Plan, folder: Path, run: str) -> AsyncIterator[Scene]:
    """Build the scene with every agent's first version, and take it down again."""
    with a_database(run) as url:
        async with a_scene_on(url, plan, folder) as scene:
            yield scene


@asynccontextmanager
async def a_scene_on(url: str, plan: Plan, folder: Path) -> AsyncIterator[Scene]:
    """Build the scene on a database that is there already, of whatever schema."""
    (folder / "policy.yaml").write_text(POLICY, "utf-8")
    dice, launcher = random.Random(plan.seed), Launcher(folder)
    emulator = await launcher.emulator(free_port())
    network = FaultProxy(int(emulator.address.rpartition(":")[2]))
    network.seen = {b"PATCH /": 0}
    database = FaultProxy(target_of(url))
    await asyncio.gather(network.start(), database.start())
    scene = Scene(plan, folder, url, database, network, emulator.address, launcher, dice)
    try:
        async with scene.cloud() as cloud:
            for agent in plan.endings:
                await cloud.api.versions.create(agent, Definition(image="emulator://echo", protocols=PROTOCOLS))
        yield scene
    finally:
        await launcher.stop()
        await network.close()
        await database.close()


@contextmanager
def a_database(run: str) -> Iterator[str]:
    """Yield the address of an empty PostgreSQL database of our schema."""
    with a_postgresql_server(run) as server, a_postgresql_database(server, a_postgresql_template(server)) as url:
        yield url


def bad_network(dice: random.Random) -> Callable[[], Fate]:
    """Return fates of which two in three are good, if slow."""

    def fate() -> Fate:
        latency = dice.uniform(0, 0.03)
        if dice.random() < 0.67:
            return Fate(latency)
        return Fate(latency, dice.randrange(500, 60_000), dice.choice(list(Ending)))

    return fate


def target_of(url: str) -> int | Path:
    """Return where a server of PostgreSQL listens: a port on loopback, or its Unix socket."""
    address = make_url(url)
    port = address.port or 5432
    folder = address.query.get("host")
    return Path(str(folder), f".s.PGSQL.{port}") if folder else port


def through(url: str, port: int) -> str:
    """Return ``url`` by way of a proxy on ``port``."""
    address = make_url(url).difference_update_query(["host"])
    return address.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
