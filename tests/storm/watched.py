"""``serve``, with a line about its own tasks, memory and handles in a file every second: what a soak is measured by."""

import asyncio
import json
import sys
import threading
from pathlib import Path

from foundry_rollouts import settings
from foundry_rollouts.daemon import serve


def figures() -> dict[str, int]:
    """Return how much this process has of what could leak; memory in KiB."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    memory = next(line for line in status if line.startswith("VmRSS:"))
    return {
        "memory": int(memory.split()[1]),
        "handles": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
    }


async def tell(path: Path) -> None:
    with path.open("a", buffering=1, encoding="utf-8") as file:
        while True:
            file.write(json.dumps(figures()) + "\n")
            await asyncio.sleep(1)


async def main(path: Path) -> None:
    telling = asyncio.create_task(tell(path))
    try:
        await serve(settings.load())
    finally:
        telling.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
