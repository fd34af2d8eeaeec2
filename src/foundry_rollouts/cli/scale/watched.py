"""``serve`` as it is, with its own figures in a file every second, and a profile of its processor time.

``python -m foundry_rollouts.cli.scale.watched FIGURES PROFILE``. Statements and commits are counted where they are
sent, since a server does not say who sent them. The profile is statistical: a hundred times a second of processor time
the stack is read, which costs about a hundredth.
"""

import asyncio
import json
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from foundry_rollouts import settings
from foundry_rollouts.daemon import serve
from foundry_rollouts.store.statements import count_statements

EVERY = 0.5  #: Seconds between two lines of figures.
SAMPLED = 0.01  #: Seconds of processor time between two stacks.
DEEPEST = 60  #: Frames of a stack that are read.


class Profile:
    """Where the processor's time goes: by the function at work, and by the functions that wait for it."""

    def __init__(self) -> None:
        self.samples = 0
        self.own: Counter[str] = Counter()
        self.within: Counter[str] = Counter()

    @contextmanager
    def kept(self, path: Path) -> Iterator[None]:
        """Read the stack again and again during the block, and write down what was seen."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, SAMPLED, SAMPLED)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            path.write_text(json.dumps(self.as_data()), "utf-8")

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        self.samples += 1
        seen: list[str] = []
        while frame is not None and len(seen) < DEEPEST:
            seen.append(_named(frame.f_code.co_filename, frame.f_code.co_name))
            frame = frame.f_back
        if seen:
            self.own[seen[0]] += 1
            self.within.update(set(seen))

    def as_data(self, most: int = 60) -> dict[str, Any]:
        """Return the functions with the largest parts."""
        return {"samples": self.samples, "own": self.own.most_common(most), "within": self.within.most_common(2 * most)}


@cache
def _named(file: str, function: str) -> str:
    """Return a function by the file it is in, from its package on."""
    parts = Path(file).parts
    at = parts.index("site-packages") + 1 if "site-packages" in parts else max(len(parts) - 3, 0)
    if "foundry_rollouts" in parts:
        at = parts.index("foundry_rollouts") + 1
    return f"{'/'.join(parts[at:])}:{function}"


class Delays:
    """How late the loop comes to what is due: what starves it is seen here."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self, every: float = 0.02) -> None:
        """Notice delays until cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(every)
            self.worst = max(self.worst, time.perf_counter() - began - every)

    def taken(self) -> float:
        """Return the worst since it was last asked for."""
        worst, self.worst = self.worst, 0.0
        return worst


def memory() -> float:
    """Return the MiB of memory that this process has; where the system does not tell, the most that it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20


def handles() -> int:
    """Return how many files and sockets are open; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0


async def tell(path: Path, counted: Counter[str], delays: Delays) -> None:
    """Write the figures of this process, a line each time."""
    with path.open("a", buffering=1, encoding="utf-8") as file:
        while True:
            line = {
                "at": time.monotonic(),
                "processor": time.process_time(),
                "memory_mib": memory(),
                "tasks": len(asyncio.all_tasks()),
                "threads": threading.active_count(),
                "handles": handles(),
                "loop_delay": delays.taken(),
                **counted,
            }
            file.write(json.dumps(line) + "\n")
            await asyncio.sleep(EVERY)


async def main(figures: Path, profile: Path) -> None:
    """Serve, and be watched meanwhile."""
    counted, delays = Counter({"statements": 0, "commits": 0}), Delays()
    count_statements(counted)
    watching = [asyncio.create_task(tell(figures, counted, delays)), asyncio.create_task(delays.watch())]
    with Profile().kept(profile):
        try:
            await serve(settings.load())
        finally:
            for task in watching:
                task.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
