"""``serve`` with a clock that is so many seconds off: ``python -m storm.late_clock SECONDS``."""

import asyncio
import sys
from datetime import timedelta

from foundry_rollouts import clock

OFF = timedelta(seconds=float(sys.argv[1]))
right = clock.now
# Before anything else asks for the time.
clock.now = lambda: right() + OFF

from foundry_rollouts import settings  # noqa: E402
from foundry_rollouts.daemon import serve  # noqa: E402

if __name__ == "__main__":
    asyncio.run(serve(settings.load()))
