"""Thousands of rollouts in progress on one watched replica: canaries fail all the time, and are started again.

The cloud is the light Foundry of ``bench scale``: a real one for so many agents would leave the service no processor.
"""

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from foundry_rollouts.cli.scale.cloud import CANARY
from foundry_rollouts.cli.scale.crowd import Crowd, as_reports, failing
from foundry_rollouts.cli.scale.stage import Service, Stage
from foundry_rollouts.clock import now
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.store.store import SqlStore
from storm.scene import a_database

CADENCE = 10.0
#: Of all rollouts, one in so many fails each second: each of them once in ten minutes.
ONE_IN = 600
#: How long after its failure a rollout is started again; it is back at its stable version long before.
AGAIN_AFTER = 20.0


@dataclass(slots=True)
class Many:
    """A watched replica with many rollouts."""

    stage: Stage
    crowd: Crowd
    service: Service
    failed: deque[tuple[float, str]] = field(default_factory=deque)
    failures: int = 0
    restarts: int = 0
    refused: int = 0  #: Starts that came too early or twice; the next one does it.

    async def keep_busy(self) -> None:
        """Let some canaries fail each second, and start again those that failed a while ago, until cancelled."""
        turn = deque(self.crowd.living)
        while True:
            for _ in range(max(1, len(turn) // ONE_IN)):
                await self._fail(turn[0])
                turn.rotate(-1)
            while self.failed and time.monotonic() - self.failed[0][0] > AGAIN_AFTER:
                await self._start(self.failed.popleft()[1])
            await asyncio.sleep(1)

    async def _fail(self, agent: str) -> None:
        reports = as_reports(failing(agent, now()))
        url = f"{self.service.address}/api/v1/outcomes"
        (await self.stage.http.post(url, json={"outcomes": reports})).raise_for_status()
        self.failures += 1
        self.failed.append((time.monotonic(), agent))

    async def _start(self, agent: str) -> None:
        asked = {"agent": agent, "version": CANARY}
        answer = await self.stage.http.post(f"{self.service.address}/api/v1/rollouts", json=asked)
        if answer.is_success:
            self.restarts += 1
        else:
            self.refused += 1
            self.failed.append((time.monotonic(), agent))

    async def ticks(self) -> float:
        return (await self.stage.scrape(self.service)).ticks


@asynccontextmanager
async def many(rollouts: int, folder: Path) -> AsyncIterator[Many]:
    """Write ``rollouts`` into an empty PostgreSQL database, and serve them."""
    with a_database(uuid.uuid4().hex) as url:
        stage = Stage(folder, url, CADENCE)
        store = SqlStore(url, replica="soak", lease=timedelta(seconds=1))
        crowd = Crowd(store, PolicyFolder(stage.policy).named("scale"), timedelta(seconds=CADENCE), random.Random(1))
        try:
            await stage.start_cloud()
            await crowd.grow(rollouts)
            await stage.ask_cloud(agents=rollouts)
            yield Many(stage, crowd, await stage.start_service())
        finally:
            await stage.close()
            await store.close()
