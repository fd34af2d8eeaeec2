"""A soak: one replica on PostgreSQL at accelerated time, rollout after rollout, and nothing in it may grow.

``python -m storm.soak --minutes 20`` prints a line a minute and ends with exit code 1 when memory, handles, tasks or
threads grew beyond their bounds between the second quarter of the time and the last. ``--rollouts 3000`` takes that
many rollouts in progress on a light Foundry (``many.py``), in place of six agents that are deployed again and again.
"""

# ruff: noqa: T201 - it speaks to a terminal
import argparse
import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from foundry_rollouts.cli.demo.stage import free_port
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.ports import RolloutFilter
from storm.many import many
from storm.processes import Launcher, Running, until_answers
from storm.scene import Plan, Scene, a_scene

Samples = Sequence[Mapping[str, float]]
Work = Callable[[], Coroutine[Any, Any, None]]
Ticks = Callable[[], Awaitable[float]]

AGENTS = 6
TICK_SECONDS = 0.2
#: By how much the median of the last quarter may be above that of the second: a part, and a number beside it.
BOUNDS = {"memory": (0.10, 8 * 1024), "handles": (0.0, 8), "tasks": (0.0, 8), "threads": (0.0, 2)}


@dataclass(slots=True)
class Soak:
    """A scene with one watched replica."""

    scene: Scene
    figures: Path
    replica: Running
    deployed: int = 0

    def samples(self) -> list[dict[str, int]]:
        lines = self.figures.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    async def ticks(self) -> int:
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"{self.replica.address}/metrics")).text
        found = re.search(r"^foundry_rollouts_tick_lag_seconds_count (\S+)", text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    async def keep_busy(self) -> None:
        """Deploy the next version of an agent as soon as its last rollout has ended, until cancelled."""
        async with self.scene.store() as store:
            while True:
                for agent in self.scene.plan.endings:
                    last = await store.rollouts(RolloutFilter(agent=agent, limit=1))
                    if not last or last[0].phase.is_final:
                        await self._deploy_next(agent)
                await asyncio.sleep(1)

    async def _deploy_next(self, agent: str) -> None:
        self.deployed += 1
        rate = 0.95 if self.deployed % 3 == 0 else 0
        # Each version differs from all before it, or the cloud would answer with the one that it has.
        await self.scene.deploy(agent, f"emulator://echo?error_rate={rate}&seed={self.deployed}")
        await asyncio.sleep(0.5)

    async def endings(self) -> dict[Phase, int]:
        async with self.scene.store() as store:
            return await store.counts()


async def soak(minutes: float, folder: Path) -> tuple[list[str], list[str]]:
    """Run for so long; return the lines of the report, and what grew."""
    plan = Plan(good=AGENTS, bad=0, replicas=1, lease_seconds=10)
    async with a_scene(plan, folder, uuid.uuid4().hex) as scene:
        replica = await launch(scene, folder)
        soaking = Soak(scene, folder / "figures.jsonl", replica)
        await until_answers(f"{replica.address}/readyz", replica, folder)
        await watch(minutes, soaking.keep_busy, soaking.ticks, soaking.samples)
        ended = ", ".join(f"{number} {phase}" for phase, number in (await soaking.endings()).items() if number)
        lines = [f"{minutes:g} minutes, {await soaking.ticks()} ticks of {AGENTS} agents; rollouts: {ended}"]
        return lines, compare(soaking.samples(), lines)


async def soak_many(rollouts: int, minutes: float, folder: Path) -> tuple[list[str], list[str]]:
    """Do the same with that many rollouts in progress."""
    async with many(rollouts, folder) as soaking:
        began = time.monotonic()

        def samples() -> list[dict[str, float]]:
            return [{**each, "memory": each["memory_mib"] * 1024} for each in soaking.service.since(began)]

        await watch(minutes, soaking.keep_busy, soaking.ticks, samples)
        ended = f"{soaking.failures} failed, {soaking.restarts} were started again"
        lines = [f"{minutes:g} minutes, {await soaking.ticks():.0f} ticks of {rollouts} rollouts; {ended}"]
        return lines, compare(samples(), lines)


async def watch(minutes: float, work: Work, ticks: Ticks, samples: Callable[[], Samples]) -> None:
    """Let ``work`` go on for so long, and print a line a minute."""
    busy = asyncio.create_task(work())
    began = time.monotonic()
    while (left := began + 60 * minutes - time.monotonic()) > 0:
        await asyncio.sleep(min(60.0, left))
        line = " ".join(f"{name} {samples()[-1][name]:.0f}" for name in BOUNDS)
        print(f"{(time.monotonic() - began) / 60:5.1f} min  {await ticks():.0f} ticks  {line}", flush=True)
        if busy.done():
            busy.result()
    busy.cancel()


async def launch(scene: Scene, folder: Path) -> Running:
    launcher: Launcher = scene.launcher
    settings = scene.settings | {"TICK_SECONDS": f"{TICK_SECONDS:g}", "DISCOVERY_SECONDS": "1"}
    return await launcher.replica(
        "soaked", free_port(), settings, program=("storm.watched", str(folder / "figures.jsonl"))
    )


def compare(samples: Samples, lines: list[str]) -> list[str]:
    """Compare the second quarter with the last; add to ``lines`` and return what grew beyond its bounds."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    grown = []
    for name, (part, number) in BOUNDS.items():
        before, after = (statistics.median(sample[name] for sample in some) for some in (early, late))
        most = before * (1 + part) + number
        lines.append(f"  {name:<8} {before:10.0f} -> {after:10.0f}   (at most {most:.0f})")
        if after > most:
            grown.append(f"{name} grew from {before:.0f} to {after:.0f} after the first quarter of the time")
    if not grown:
        lines.append(f"flat after the first quarter of the time: {', '.join(BOUNDS)}")
    return grown


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rollouts", type=int, default=0, help="how many are in progress; 0: six agents in a hurry")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"logs are in {folder}")
    work = soak_many(asked.rollouts, asked.minutes, folder) if asked.rollouts else soak(asked.minutes, folder)
    lines, grown = asyncio.run(work)
    print("\n".join([*lines, *(f"GREW {each}" for each in grown)]))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
