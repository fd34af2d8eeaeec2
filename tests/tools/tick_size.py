"""What a tick goes through: the files that it enters, and what it asks of the database.

Run ``PYTHONPATH=tests python -m tools.tick_size`` in a checkout. The advancing tick finds the rollout at its first
weight with enough evidence: it observes, judges, decides, changes the routing, reads it back and writes everything
down. Then rollouts that only go on are ticked, one alone and a hundred at once: the statements, commits and
milliseconds of processor of a tick. ``--postgresql`` counts those over a server that the tests' wheel brings, or that
TEST_DATABASE_URL names.
"""

import asyncio
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from builders import NOON
from databases import (
    a_postgresql_database,
    a_postgresql_server,
    a_postgresql_template,
    a_sqlite_database,
    a_sqlite_template,
)
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore
from small_world import LEASE, TICK, SmallWorld, a_quick_policy
from statements import counting

PACKAGE = "/src/foundry_rollouts/"
SETTLED = 2  #: So many ticks begin a rollout; those behind them only go on.


def count_transactions(tally: Counter[str]) -> None:
    """Count every transaction from now on, by whether it reads or writes."""
    for kind in ("reading", "writing"):
        real = getattr(Database, kind)

        def counted(*args: Any, _real: Any = real, _kind: str = kind, **kwargs: Any) -> Any:
            tally[_kind] += 1
            return _real(*args, **kwargs)

        setattr(Database, kind, counted)


async def advancing_tick(folder: Path) -> tuple[set[str], Counter[str]]:
    """Return the files that one advancing tick enters, and the transactions that it opens."""
    url = a_sqlite_database(folder, a_sqlite_template(folder))
    opened = {name: SqlStore(url, replica=name, lease=LEASE) for name in ("begin", "replica-1", "reader")}
    world = SmallWorld(opened.__getitem__)
    await world.begin()
    store, ticker = world.ticker()
    files: set[str] = set()
    tally: Counter[str] = Counter()
    for _ in range(40):
        world.time += TICK
        (lease,) = await store.claim_due(world.time, 10)
        before, now = (await opened["reader"].rollout(world.id)).step, Counter(tally)
        entered: set[str] = set()

        def enter(frame: FrameType, what: str, _: Any, entered: set[str] = entered) -> None:
            name = frame.f_code.co_filename
            if what == "call" and PACKAGE in name:
                entered.add(name.split(PACKAGE)[1])

        real_reading, real_writing = Database.reading, Database.writing
        count_transactions(tally)
        sys.setprofile(enter)
        try:
            await ticker.tick(lease)
        finally:
            sys.setprofile(None)
            Database.reading, Database.writing = real_reading, real_writing  # type: ignore[method-assign]
        await store.release(lease)
        files, spent = entered, tally - now
        if before == 1 and (await opened["reader"].rollout(world.id)).step == 2:
            break
    for each in opened.values():
        await each.close()
    return files, spent


@dataclass(frozen=True)
class Cost:
    """What one tick of several asked of the database, on average, and its time of the processor."""

    statements: float
    commits: float
    milliseconds: float


async def quiet_ticks(url: str, agents: int, rounds: int = 3) -> Cost:
    """Return the cost of a tick that finds nothing new, where so many agents are ticked at once."""
    store = SqlStore(url, replica="replica-1", lease=timedelta(days=1))
    ticked: dict[str, tuple[SmallWorld, Ticker]] = {}
    watched = a_quick_policy(name="watched")
    watched = replace(watched, steps=(WeightStep(10, min=timedelta(days=1)), *watched.steps[1:]))
    for number in range(agents):
        world = SmallWorld(lambda _: store, id=f"r-{number}", policy=watched)
        await world.begin()
        ticked[world.cloud.name] = world, world.ticker()[1]
    now, spent = NOON, list[Cost]()
    for number in range(SETTLED + rounds):
        now += TICK
        for world, _ in ticked.values():
            world.time = now
        leases = await store.claim_due(now, agents)
        before = time.process_time()
        with counting(store) as tally:
            await asyncio.gather(*(ticked[lease.agent][1].tick(lease) for lease in leases))
        if number >= SETTLED:
            spent.append(Cost(tally.statements, tally.commits, 1000 * (time.process_time() - before)))
    await store.close()
    return Cost(*(sum(getattr(each, kind) for each in spent) / rounds / agents for kind in Cost.__annotations__))


@contextmanager
def a_database(folder: Path, *, is_server: bool) -> Iterator[str]:
    """Yield the address of a database of our schema, in a file or on a server."""
    if not is_server:
        yield a_sqlite_database(folder, a_sqlite_template(folder))
        return
    with (
        a_postgresql_server(uuid.uuid4().hex) as server,
        a_postgresql_database(server, a_postgresql_template(server)) as url,
    ):
        yield url


def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory() as folder:
        files, spent = asyncio.run(advancing_tick(Path(folder)))
    sys.stdout.write(f"files entered: {len(files)}\n")
    sys.stdout.write(f"transactions: {sum(spent.values())} ({spent['reading']} read, {spent['writing']} write)\n")
    for agents in (1, 100):
        with (
            tempfile.TemporaryDirectory() as folder,
            a_database(Path(folder), is_server="--postgresql" in sys.argv) as url,
        ):
            cost = asyncio.run(quiet_ticks(url, agents))
        sys.stdout.write(
            f"{agents} at once: {cost.statements:g} statements, {cost.commits:g} commits and"
            f" {cost.milliseconds:.1f} ms of processor a tick\n"
        )
    if "--files" in sys.argv:
        sys.stdout.write("\n".join(sorted(files)) + "\n")


if __name__ == "__main__":
    main()
