"""Replicas that die, one after the other, and how long it takes until others have their agents."""

import asyncio
import contextlib
import random
import signal
import time
from dataclasses import dataclass, field

import httpx
import psycopg

from fault_proxy import FaultProxy
from storm.processes import Running
from storm.scene import Scene

#: Seconds between two deaths, and until the next one is born.
EVERY, GONE_FOR = 6.0, 2.0
#: Every so many deaths is a polite one.
POLITE = 3

HOLDERS = """
SELECT leases.agent, leases.replica FROM leases
WHERE EXISTS (
    SELECT 1 FROM rollouts WHERE rollouts.agent = leases.agent AND phase IN ('pending', 'progressing', 'paused')
)
"""


@dataclass(slots=True)
class Orphan:
    """An agent whose replica got a signal at ``since`` (monotonic seconds)."""

    replica: str
    how: signal.Signals
    since: float


@dataclass(slots=True)
class Deaths:
    """Kills replicas and looks at the leases twenty times a second."""

    scene: Scene
    count: dict[signal.Signals, int] = field(default_factory=lambda: {signal.SIGKILL: 0, signal.SIGTERM: 0})
    failovers: dict[signal.Signals, list[float]] = field(
        default_factory=lambda: {signal.SIGKILL: [], signal.SIGTERM: []}
    )
    held: dict[str, str | None] = field(default_factory=dict)
    orphans: dict[str, Orphan] = field(default_factory=dict)
    _ending: set[asyncio.Task[None]] = field(default_factory=set)

    async def go_on(self) -> None:
        """Kill until cancelled; there are always others left."""
        while True:
            await asyncio.sleep(EVERY)
            alive = [replica for replica in self.scene.replicas if replica.is_alive]
            if len(alive) >= self.scene.plan.replicas:
                deaths = sum(self.count.values()) + 1
                how = signal.SIGTERM if deaths % POLITE == 0 else signal.SIGKILL
                await self._kill(await self._victim(alive, how), how)
            await asyncio.sleep(GONE_FOR)
            while sum(replica.is_alive for replica in self.scene.replicas) < self.scene.plan.replicas:
                await self.scene.a_replica()

    async def _victim(self, alive: list[Running], how: signal.Signals) -> Running:
        """Choose any for a hard end; for a polite one that has agents, once there is another one to hand them to."""
        if how is signal.SIGKILL:
            return self.scene.dice.choice(alive)
        owners = [replica for replica in alive if replica.name in self.held.values()]
        victim = self.scene.dice.choice(owners or alive)
        for _ in range(20):
            if await self._has_heir(victim):
                break
            await asyncio.sleep(1)
        return victim

    async def _kill(self, replica: Running, how: signal.Signals) -> None:
        self.count[how] += 1
        has_heir = await self._has_heir(replica)
        now = time.monotonic()
        for agent, holder in self.held.items():
            # Where all others are still starting, their start would be measured.
            if holder == replica.name and has_heir:
                self.orphans[agent] = Orphan(replica.name, how, now)
        task = asyncio.create_task(replica.end(how))
        self._ending.add(task)

    async def _has_heir(self, victim: Running) -> bool:
        """Whether another replica is at work, by its own look at itself."""
        async with httpx.AsyncClient(timeout=1, trust_env=False) as client:
            for other in self.scene.replicas:
                if other is not victim and other.is_alive:
                    with contextlib.suppress(httpx.TransportError):
                        sweep = (await client.get(f"{other.address}/readyz")).json()["conditions"][1]
                        if sweep["name"] == "sweep" and sweep["is_well"]:
                            return True
        return False

    async def watch(self) -> None:
        """Note when orphans are taken, until cancelled; an orphan whose rollout has ended needs nobody."""
        async with await psycopg.AsyncConnection.connect(self.scene.database_url, autocommit=True) as connection:
            while True:
                self.held = dict(await (await connection.execute(HOLDERS)).fetchall())
                now = time.monotonic()
                for agent, orphan in list(self.orphans.items()):
                    holder = self.held.get(agent, "")
                    if holder and holder != orphan.replica:
                        self.failovers[orphan.how].append(now - orphan.since)
                    if holder == "" or (holder and holder != orphan.replica):
                        del self.orphans[agent]
                await asyncio.sleep(0.05)

    async def burials(self) -> list[str]:
        """Wait for those that are still ending; return what is wrong with how they ended."""
        faults: list[str] = []
        for task in self._ending:
            try:
                await task
            except AssertionError as fault:
                faults.append(str(fault))
        return faults


async def interrupt(line: FaultProxy, dice: random.Random, most: float) -> None:
    """Cut a line for at most ``most`` seconds, now and then, until cancelled; what connects later has a new fate."""
    while True:
        await line.cut()
        await asyncio.sleep(dice.uniform(0.2, most))
        line.restore()
        await asyncio.sleep(dice.uniform(8, 14))
