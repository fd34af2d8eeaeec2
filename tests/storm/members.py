"""Weather for the owners: replicas come and go, heartbeats stall, and all replicas are restarted one by one."""

import asyncio
import contextlib
import signal
from dataclasses import dataclass

import psycopg

from storm.processes import until_answers
from storm.scene import Scene

#: Seconds between two replicas that join for a while, and how long each stays.
JOINS_EVERY, STAYS = 4.0, 6.0
#: Seconds between two stalls of the heartbeats; each lasts up to this part of a lease.
STALLS_EVERY, STALLED = 12.0, 0.9
#: When all replicas are restarted, after so many seconds.
RESTARTED_AFTER = 20.0


@dataclass(slots=True)
class Members:
    """Lets replicas come and go, beside those that are killed; each count is a figure of the storm."""

    scene: Scene
    joined: int = 0
    stalls: int = 0
    restarts: int = 0

    async def come_and_go(self) -> None:
        """Let one replica more join for a few seconds, again and again, until cancelled."""
        while True:
            await asyncio.sleep(JOINS_EVERY)
            guest = await self.scene.a_replica(is_guest=True)
            await asyncio.sleep(STAYS)
            self.joined += 1
            await guest.end(self.scene.dice.choice([signal.SIGTERM, signal.SIGKILL]))

    async def stall_heartbeats(self) -> None:
        """Lock the table of heartbeats now and then, until cancelled: nobody can say that it is alive, or who is."""
        async with await psycopg.AsyncConnection.connect(self.scene.database_url) as connection:
            while True:
                await asyncio.sleep(STALLS_EVERY)
                async with connection.transaction():
                    await connection.execute("LOCK TABLE replicas IN ACCESS EXCLUSIVE MODE")
                    await asyncio.sleep(self.scene.plan.lease_seconds * STALLED)
                self.stalls += 1

    async def restart_one_by_one(self) -> None:
        """Restart every replica once, each when the one before is at work again."""
        await asyncio.sleep(RESTARTED_AFTER)
        for old in [replica for replica in self.scene.replicas if replica.is_alive]:
            await old.end(signal.SIGTERM)
            new = await self.scene.a_replica()
            with contextlib.suppress(AssertionError):  # It was killed while it started.
                await until_answers(f"{new.address}/healthz", new, self.scene.folder)
                self.restarts += 1
