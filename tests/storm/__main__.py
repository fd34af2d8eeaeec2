"""A storm: replicas on one database are killed while the network, the database and the cloud misbehave.

``python -m storm`` ends with a table and with exit code 1 when any law was broken.
"""

# ruff: noqa: T201 - it speaks to a terminal
import argparse
import asyncio
import contextlib
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from foundry_rollouts.core.model.rollout import Phase
from patience import PATIENCE
from storm.deaths import Deaths, interrupt
from storm.members import Members
from storm.scene import Plan, Scene, a_scene, bad_network
from storm.verdict import Verdict, judge

#: How long after the storm every rollout may take to end, in seconds.
AFTERMATH = 300.0
#: The part of a storm in which canaries are deployed.
DEPLOYING = 0.5


async def blow(plan: Plan, folder: Path, run: str) -> tuple[Verdict, list[tuple[str, str]]]:
    """Let a storm blow; return what was found and the lines of the table."""
    async with a_scene(plan, folder, run) as scene:
        await asyncio.gather(*(scene.a_replica(ready=True) for _ in range(plan.replicas)))
        await until_pinned(scene)
        say(f"{len(plan.endings)} agents are pinned by {plan.replicas} replicas; the storm begins")
        began, deaths = time.monotonic(), Deaths(scene)
        weather = [deaths.go_on(), deaths.watch(), deploy_all(scene)]
        if not plan.only_deaths:
            scene.network.fate = bad_network(scene.dice)
            scene.database.fate = bad_network(scene.dice)
            await scene.disturb_cloud()
            weather += [interrupt(scene.network, scene.dice, 1), interrupt(scene.database, scene.dice, 2.5)]
        members = Members(scene)
        if plan.has_members:
            weather += [members.come_and_go(), members.stall_heartbeats(), members.restart_one_by_one()]
        tasks = [asyncio.create_task(each) for each in weather]
        await until_ended(scene, plan.seconds, tasks[2])
        await end(tasks[:1] + tasks[3:])
        await scene.calm_down()
        await until_ended(scene, AFTERMATH, tasks[2])
        faults = await deaths.burials()
        await end(tasks)
        verdict = await judge(scene)
        verdict.others += faults
        lines = table(scene, verdict, deaths, time.monotonic() - began)
        return verdict, [*lines, *(joins(members) if plan.has_members else ())]


async def deploy_all(scene: Scene) -> None:
    """Deploy each agent's canary, spread over the first part of the storm."""
    pause = scene.plan.seconds * DEPLOYING / len(scene.plan.endings)
    for agent, ending in scene.plan.endings.items():
        rate = 0.95 if ending == "rolled_back" else 0
        await scene.deploy(agent, f"emulator://echo?error_rate={rate}&latency_ms=1")
        await asyncio.sleep(pause)


async def until_pinned(scene: Scene) -> None:
    """Wait until every agent's endpoint names its first version."""
    async with scene.store() as store, asyncio.timeout(PATIENCE):
        while True:
            if sum(agent.stable == "1" for agent in await store.agents()) == len(scene.plan.endings):
                return
            await asyncio.sleep(0.2)


async def until_ended(scene: Scene, seconds: float, deploying: asyncio.Task[None]) -> None:
    """Wait until every rollout has ended, or the time is over."""
    end_at, told = time.monotonic() + seconds, -1
    async with scene.store() as store:
        while time.monotonic() < end_at:
            counts = await store.counts()
            ended = sum(number for phase, number in counts.items() if phase.is_final)
            if ended // 10 != told:
                told = ended // 10
                parts = ", ".join(f"{number} {phase}" for phase, number in counts.items() if number)
                say(f"{parts or 'no rollouts yet'}")
            is_paused = counts[Phase.PAUSED] + ended == len(scene.plan.endings)
            if deploying.done() and (ended == len(scene.plan.endings) or is_paused):
                return
            await asyncio.sleep(0.5)


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel ``tasks``, and tell what was wrong with one that had ended before."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


def table(scene: Scene, verdict: Verdict, deaths: Deaths, seconds: float) -> list[tuple[str, str]]:
    """Return the figures, each with its name."""
    endings = ", ".join(f"{number} {phase}" for phase, number in sorted(verdict.endings.items()))
    return [
        (
            "agents, replicas, lease",
            f"{len(scene.plan.endings)}, {scene.plan.replicas}, {scene.plan.lease_seconds:g} s",
        ),
        ("lasted", f"{seconds:.0f} s"),
        ("rollouts by ending", endings),
        ("wrong endings", str(len(verdict.wrong_endings))),
        ("steps taken twice", str(len(verdict.steps_twice))),
        ("events lost", str(len(verdict.events_lost))),
        ("events doubled", str(len(verdict.events_doubled))),
        ("other broken laws", str(len(verdict.others))),
        ("rollbacks shown as drift first", str(len(verdict.as_drift))),
        ("killed by SIGKILL", str(deaths.count[signal.SIGKILL])),
        ("stopped by SIGTERM", str(deaths.count[signal.SIGTERM])),
        ("failover after SIGKILL", spread(deaths.failovers[signal.SIGKILL])),
        ("failover after SIGTERM", spread(deaths.failovers[signal.SIGTERM])),
        ("PATCHes sent", str(scene.network.seen[b"PATCH /"])),
        ("connections to the cloud", f"{scene.network.connections}, {scene.network.faults} broken"),
        ("connections to the database", f"{scene.database.connections}, {scene.database.faults} broken"),
    ]


def joins(members: Members) -> list[tuple[str, str]]:
    """Return the figures of replicas that came and went."""
    return [
        ("replicas that joined and left", str(members.joined)),
        ("heartbeats stalled", f"{members.stalls} times"),
        ("replicas restarted in turn", str(members.restarts)),
    ]


def spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none to measure"
    return f"median {statistics.median(seconds):.1f} s, most {max(seconds):.1f} s, of {len(seconds)} agents"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def show(lines: Sequence[tuple[str, str]], wrong: Sequence[str]) -> None:
    """Print the table, and every broken law in a line of its own."""
    for name, value in lines:
        print(f"  {name:<30} {value}")
    for sentence in wrong:
        print(f"BROKEN {sentence}")


def main() -> int:
    usual = Plan()
    parser = argparse.ArgumentParser(prog="storm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="how long it blows at most")
    parser.add_argument("--good", type=int, default=usual.good, help="agents with a good canary")
    parser.add_argument("--bad", type=int, default=usual.bad, help="agents with a bad canary")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--only-deaths", action="store_true", help="no faults of network, database and cloud")
    parser.add_argument("--no-members", action="store_true", help="no replicas that come and go, all clocks right")
    asked = parser.parse_args()
    plan = Plan(
        asked.seconds,
        asked.good,
        asked.bad,
        seed=asked.seed,
        only_deaths=asked.only_deaths,
        has_members=not (asked.no_members or asked.only_deaths),
    )
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    say(f"logs are in {folder}")
    verdict, lines = asyncio.run(blow(plan, folder, uuid.uuid4().hex))
    show(lines, verdict.wrong)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
