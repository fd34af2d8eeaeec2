"""A soak: one replica on PostgreSQL at accelerated time, rollout after rollout, and nothing in it may grow.

``python -m storm.soak --minutes 20`` prints a line a minute and ends with exit code 1 when memory, handles, tasks or
threads grew beyond their bounds between the second fifth of the time and the last.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from foundry_rollouts.cli.demo.stage import free_port
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.ports import RolloutFilter
from storm.processes import Launcher, Running, until_answers
from storm.scene import Plan, Scene, a_scene

AGENTS = 6
TICK_SECONDS = 0.2
#: By how much the median of the last fifth may be above that of the second: a part, and a number beside it.
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
        busy = asyncio.create_task(soaking.keep_busy())
        began = time.monotonic()
        while (left := began + 60 * minutes - time.monotonic()) > 0:
            await asyncio.sleep(min(60.0, left))
            line = " ".join(f"{name} {value}" for name, value in soaking.samples()[-1].items())
            print(f"{(time.monotonic() - began) / 60:5.1f} min  {await soaking.ticks()} ticks  {line}", flush=True)
            if busy.done():
                busy.result()
        busy.cancel()
        ended = ", ".join(f"{number} {phase}" for phase, number in (await soaking.endings()).items() if number)
        lines = [f"{minutes:g} minutes, {await soaking.ticks()} ticks of {AGENTS} agents; rollouts: {ended}"]
        return lines, compare(soaking.samples(), lines)


async def launch(scene: Scene, folder: Path) -> Running:
    launcher: Launcher = scene.launcher
    settings = scene.settings | {"TICK_SECONDS": f"{TICK_SECONDS:g}", "DISCOVERY_SECONDS": "1"}
    return await launcher.replica(
        "soaked", free_port(), settings, program=("storm.watched", str(folder / "figures.jsonl"))
    )


def compare(samples: Sequence[dict[str, int]], lines: list[str]) -> list[str]:
    """Compare the second fifth with the last; add to ``lines`` and return what grew beyond its bounds."""
    fifth = len(samples) // 5
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    grown = []
    for name, (part, number) in BOUNDS.items():
        before, after = (statistics.median(sample[name] for sample in some) for some in (early, late))
        most = before * (1 + part) + number
        lines.append(f"  {name:<8} {before:10.0f} -> {after:10.0f}   (at most {most:.0f})")
        if after > most:
            grown.append(f"{name} grew from {before:.0f} to {after:.0f}")
    return grown


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    minutes = parser.parse_args().minutes
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"logs are in {folder}")
    lines, grown = asyncio.run(soak(minutes, folder))
    print("\n".join([*lines, *(f"GREW {each}" for each in grown)]))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
