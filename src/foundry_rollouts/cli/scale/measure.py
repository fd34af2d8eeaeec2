"""The run: which parts, in which order, and the report that comes of it."""

import asyncio
import csv
import io
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from foundry_rollouts.bench.report import Report
from foundry_rollouts.cli.scale.crowd import Crowd
from foundry_rollouts.cli.scale.database import Measured, a_database
from foundry_rollouts.cli.scale.figures import Figures, Level, Share
from foundry_rollouts.cli.scale.floor import floor
from foundry_rollouts.cli.scale.plan import Part, Plan
from foundry_rollouts.cli.scale.quiet import watched_quietly
from foundry_rollouts.cli.scale.reaction import reactions, storm
from foundry_rollouts.cli.scale.stage import PATIENCE, Service, Stage
from foundry_rollouts.cli.scale.verdicts import goals, tables
from foundry_rollouts.cli.scale.window import measured
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.store.store import SqlStore

POLLED = 0.1  #: Seconds between two questions who holds what.
JOINED_AFTER = 10.0  #: Seconds in which a replica that joins gets its share.


@dataclass(slots=True)
class Run:
    """One run as it goes."""

    plan: Plan
    stage: Stage
    database: Measured
    crowd: Crowd
    figures: Figures
    progress: Callable[[str, float], None]
    service: Service | None = None
    talk: asyncio.Task[None] | None = None
    restart_seconds: float = 0.0  #: How long the present service took until it held every rollout.

    async def all(self) -> None:
        """Measure every part that is wanted, from few rollouts to many; one that fails does not keep the others."""
        self.talk = asyncio.create_task(self.crowd.talk(self.database))
        if Part.IDLE in self.plan.parts:
            await self._part(self._idle(), "evidence until the PATCH, idle")
        if self.plan.parts - {Part.IDLE}:
            await self._part(self._curve(), "growth curve")
            for part, name, measured_by in self._at_the_top():
                if part in self.plan.parts and self.service is not None:
                    await self._part(measured_by(), name)
        await self._hush()
        await self._stop()

    async def quietly(self) -> None:
        """Measure what many agents without a rollout take."""
        await self._part(self._quietly(), "idle agents")

    async def _quietly(self) -> None:
        stage, store, agents = self.stage, self.crowd.store, self.plan.agents
        # Discovery comes every half a minute: the window holds one of them, and the first one.
        self.figures.agents = await watched_quietly(stage, store, self.database, agents, self.plan.seconds)

    async def _part(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except (RolloutsError, httpx.HTTPError) as error:
            self.figures.troubles.append(f"{name}: {error or type(error).__name__}")
        self.progress(name, 1)

    async def _curve(self) -> None:
        for size in self.plan.sizes if Part.CURVE in self.plan.parts else self.plan.sizes[-1:]:
            await self._grow(size)
            if self.plan.parts & {Part.CURVE, Part.FLOOR}:
                await self._level(size)
            if (top := self.figures.top) and top.lag_p99 > self.plan.cadence:
                break  # It does not keep up with these: more would show nothing new.

    def _at_the_top(self) -> Iterator[tuple[Part, str, Callable[[], Coroutine[Any, Any, None]]]]:
        yield Part.LOAD, "evidence until the PATCH, under load", self._load
        yield Part.FLOOR, "raw floor", self._floor
        if self.database.is_server:
            yield Part.JOIN, "a second replica", self._join
        yield Part.STORM, "storm", self._storm

    async def _load(self) -> None:
        few = self.crowd.living[-self.plan.victims :]
        every = self.plan.seconds / len(few)
        self.figures.loaded = await reactions(self.stage, self._served, self.crowd, few, every)

    async def _floor(self) -> None:
        await self._hush()
        self.figures.floor = await floor(self.stage, self.database, self.crowd.written, self.plan.floor_times)

    async def _storm(self) -> None:
        await self._hush()
        self.figures.storm = await storm(self.stage, [self._served], self.crowd)

    async def _hush(self) -> None:
        """Report no more: what blocks this process must find no transaction of ours open."""
        if self.talk is not None:
            self.talk.cancel()
            (ended,) = await asyncio.gather(self.talk, return_exceptions=True)
            if isinstance(ended, Exception):
                self.figures.troubles.append(f"good calls were reported only at first: {ended}")
            self.talk = None

    async def _idle(self) -> None:
        few = max(self.plan.victims // 3, 2)
        await self._grow(few)
        self.figures.idle = await reactions(self.stage, self._served, self.crowd, tuple(self.crowd.living), 0.5)

    async def _grow(self, size: int) -> None:
        """Write rollouts while no service runs, and start one: how long it takes until it holds all is measured too."""
        await self._stop()
        await self.crowd.grow(size)
        await self.stage.ask_cloud(agents=self.crowd.written)
        self.service = await self.stage.launch_service()
        holding = asyncio.create_task(self._until_held(len(self.crowd.living)))
        try:
            await self.stage.until_ready(self.service)
            self.restart_seconds = await holding
        finally:
            holding.cancel()
        self.progress(f"{size} rollouts written", 1)

    async def _level(self, size: int) -> None:
        # What fell due while nothing ran is behind us after a cadence or two; few rollouts are done with it at once.
        await asyncio.sleep(self.plan.cadence * min(2.0, 0.1 + size / 3_000))
        level = await measured(self.stage, self._served, self.database, size, self.plan.seconds)
        self.figures.levels.append(replace(level, restart_seconds=self.restart_seconds))
        self.progress(f"{size} rollouts", 1)

    async def _until_held(self, rollouts: int) -> float:
        """Return how long after its start the service held every rollout."""
        service = self._served
        for _ in range(int(PATIENCE / POLLED)):
            if (await self.database.held()).get(service.name, 0) >= rollouts:
                break
            await asyncio.sleep(POLLED)
        return time.monotonic() - service.begun

    async def _join(self) -> None:
        second = await self.stage.start_service()
        await asyncio.sleep(JOINED_AFTER)
        held = await self.database.held()
        of = [held.get(service.name, 0) for service in (self._served, second)]
        self.figures.share = Share(of[1], sum(of))
        await self.stage.end(second)

    async def _stop(self) -> None:
        if self.service is not None:
            await self.stage.end(self.service)
            self.figures.profile = self.service.profiled()
            self.service = None

    @property
    def _served(self) -> Service:
        assert self.service is not None  # noqa: S101 - every part begins with _grow
        return self.service


@dataclass(frozen=True, slots=True)
class ScaleReport(Report):
    """A report of figures in place of results of rules."""

    figures: Figures = field(default_factory=lambda: Figures("", 0))

    def as_csv(self) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, [each.name for each in fields(Level)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(level) for level in self.figures.levels)
        return text.getvalue()

    def as_data(self) -> dict[str, Any]:
        return {"figures": asdict(self.figures), "goals": list(map(asdict, self.goals))}


def measure(plan: Plan, progress: Callable[[str, float], None]) -> ScaleReport:
    """Measure what this machine carries."""
    figures = asyncio.run(_measured(plan, progress))
    return ScaleReport(tables=tables(figures), goals=goals(figures), figures=figures)


async def _measured(plan: Plan, progress: Callable[[str, float], None]) -> Figures:
    with tempfile.TemporaryDirectory(prefix="foundry-rollouts-") as name:
        figures = Figures("PostgreSQL" if plan.database else "SQLite", os.cpu_count() or 1)
        if plan.parts - {Part.AGENTS}:
            async with _a_run(plan, _folder(name, "busy"), figures, progress) as run:
                await run.all()
        if Part.AGENTS in plan.parts:
            async with _a_run(plan, _folder(name, "quiet"), figures, progress) as run:
                await run.quietly()
    return figures


@asynccontextmanager
async def _a_run(
    plan: Plan, folder: Path, figures: Figures, progress: Callable[[str, float], None]
) -> AsyncIterator[Run]:
    """Yield a run on a database of its own, and end everything that it started."""
    async with a_database(plan.database, folder) as database:
        stage = Stage(folder, database.url, plan.cadence, plan.cloud_ms)
        # What it holds is free by the time at which a service starts, and need not be given back one by one.
        store = SqlStore(database.url, replica="bench", lease=timedelta(seconds=1))
        dice = random.Random(plan.seed)  # noqa: S311 - nobody must not guess it
        crowd = Crowd(store, PolicyFolder(stage.policy).named("scale"), timedelta(seconds=plan.cadence), dice)
        try:
            await stage.start_cloud()
            yield Run(plan, stage, database, crowd, figures, progress)
        finally:
            await stage.close()
            await store.close()


def _folder(parent: str, name: str) -> Path:
    """Make a folder and return it."""
    path = Path(parent, name)
    path.mkdir()
    return path
