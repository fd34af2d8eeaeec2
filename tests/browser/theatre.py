"""One rollout whose ticks a test plays one by one: the real ticker, store and app over a small world and its clock."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from browser.gallery import Gallery, a_site
from builders import a_policy
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window, bucket_of
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging, Margin, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, Sources
from foundry_rollouts.operations.log_tail import LogTails
from foundry_rollouts.ports import AgentKnown, LogLine
from small_world import SmallCloud, SmallSource, SmallWorld

MINUTES = timedelta(minutes=1)
OUTCOMES = ("outcomes",)
POLICY = a_policy(
    steps=(
        WeightStep(10, min=MINUTES, max=30 * MINUTES),
        WeightStep(50, min=2 * MINUTES, max=30 * MINUTES),
        ApprovalStep(),
        WeightStep(100, min=5 * MINUTES),
    ),
    judge=Judging(bad=Margin(2, 0.02)),
    sources=Sources(probe=None, logs=None, outcomes=OutcomesConfig()),
    gates=(
        Gate(GateKind.ERROR_RATE, OUTCOMES, max=0.1),
        Gate(GateKind.LATENCY, OUTCOMES),
        Gate(GateKind.LOG_ERRORS, OUTCOMES),
    ),
)
CAUSE = "PoolExhausted: crm pool exhausted (size 20) <img src=x onerror=alert(1)>"
CALLS = 120  #: Of users, in each window.
#: What the versions write into their logs: a secret, colours of a terminal, and HTML among it.
LINES = (
    "2026-03-02 12:00:01 INFO Inbound POST /responses completed with status 200 in 941.7ms",
    "WARN retriever: 2 of 5 documents are older than 90 days",
    "ERROR PoolExhausted: crm pool exhausted (size 20)",
    "INFO signed in with api_key=sk-verysecretverysecret <script>alert(1)</script> \x1b[31mred\x1b[0m",
)


@dataclass
class Users(SmallSource):
    """Users by the hundred, by weight; the canary fails as often as it is said, and so is the source silent."""

    name: str = "outcomes"
    chance: Random = field(default_factory=lambda: Random(7))
    failing: float = 0.004
    trouble: str | None = None

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        if self.trouble:
            return (Measurement(self.name, window, trouble=self.trouble),)
        weight = self.cloud.routing.weight(rollout.canary) / 100
        canary = sum(self.chance.random() < weight for _ in range(CALLS))
        return (
            Measurement(self.name, window, self._counts(CALLS - canary, 0.004), self._counts(canary, self.failing)),
        )

    def _counts(self, calls: int, failing: float) -> Counts:
        failures = sum(self.chance.random() < failing for _ in range(calls))
        spans = [bucket_of(timedelta(seconds=self.chance.lognormvariate(-0.2, 0.5))) for _ in range(calls)]
        return Counts(
            calls=calls,
            failures=failures,
            log_errors=failures,
            causes=((CAUSE, failures),) if failures else (),
            latencies=tuple(sorted((each, spans.count(each)) for each in set(spans))),
            new_sessions=calls // 4,
        )


@dataclass
class Logging(SmallCloud):
    """Also writes a log for each of its sessions."""

    async def log_lines(self, agent: str, version: str, session: str) -> AsyncGenerator[LogLine, None]:
        for line in LINES:
            yield LogLine(None, "stdout", f"v{version} {line}")
        await asyncio.Event().wait()


@dataclass
class Theatre:
    """The rollout ``r-1`` of version 2, the page that shows it, and how its ticks are played."""

    site: Gallery
    world: SmallWorld
    users: Users

    @property
    def url(self) -> str:
        return f"{self.site.url}/rollouts/{self.world.id}"

    async def play(self, ticks: int = 1) -> Rollout:
        """Play so many ticks, or fewer where the rollout ends."""
        return await self.world.run(ticks)

    async def play_until(self, step: int, at_most: int = 60) -> Rollout:
        """Play until the rollout stands on a step, or has ended."""
        for _ in range(at_most):
            rollout = await self.play()
            if rollout.step >= step or rollout.phase.is_final:
                return rollout
        raise AssertionError(f"step {step} was not reached")


@asynccontextmanager
async def a_theatre(folder: Path, policy: Policy = POLICY, **but: Any) -> AsyncIterator[Theatre]:
    """Serve a rollout that has not begun."""
    logging = Logging()
    worlds: list[SmallWorld] = []

    def now() -> Any:
        return worlds[0].time

    logs = LogTails(logging, now)  # type: ignore[arg-type]
    async with aclosing(_Tails(logs)), a_site(folder, now=now, logs=logs, catalogue=logging, **but) as site:
        world = SmallWorld(lambda _: site.store, cloud=logging, policy=policy)
        worlds.append(world)
        world.source = users = Users(logging)
        await world.begin()
        await site.store.see_agents([AgentKnown(logging.name, latest="2", routing=logging.routing)], world.time)
        yield Theatre(site, world, users)


@dataclass(frozen=True)
class _Tails:
    """Closed once the site is: whoever still reads a page would begin to follow anew."""

    tails: LogTails

    async def aclose(self) -> None:
        await self.tails.close()
