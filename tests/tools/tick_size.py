"""What one advancing tick goes through: the files that it enters, and the transactions that it opens.

Run ``PYTHONPATH=tests python -m tools.tick_size`` in a checkout. The rollout stands at its first weight with enough
evidence: the tick observes, judges, decides, changes the routing, reads it back and writes everything down.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from databases import a_sqlite_database, a_sqlite_template
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore
from small_world import LEASE, TICK, SmallWorld

PACKAGE = "/src/foundry_rollouts/"


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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files, spent = asyncio.run(advancing_tick(Path(folder)))
    sys.stdout.write(f"files entered: {len(files)}\n")
    sys.stdout.write(f"transactions: {sum(spent.values())} ({spent['reading']} read, {spent['writing']} write)\n")
    if "--files" in sys.argv:
        sys.stdout.write("\n".join(sorted(files)) + "\n")


if __name__ == "__main__":
    main()
