"""The last lines of the demonstration: where to go from here, as commands that work as they are printed."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

GUIDE = "docs/first-rollout.md"
PROGRAM = "foundry-rollouts"


def last_lines(server: str | None, agent: str) -> Iterator[str]:
    """Yield the lines; ``server`` is the address of a service that was left running."""
    program = as_called()
    yield "Both rollouts ended as they had to: version 2 promoted, version 3 rolled back."
    if server is None:
        yield "See it again, with the dashboard, and leave it running:"
        yield f"  {program} demo --keep"
    else:
        yield f"Everything is still running: the dashboard at {server}, the metrics at {server}/metrics. Try:"
        yield f"  {program} rollout history --agent {agent} --server {server}"
        yield f"  {program} rollout explain --agent {agent} --server {server}"
        yield f"  {program} demo --stop"
    yield f"Next, a rollout of an agent of your own, in a few minutes: {GUIDE}"


def as_called() -> str:
    """Return what a shell in this folder finds this program by."""
    ours = Path(sys.executable).with_name(PROGRAM)
    found = shutil.which(PROGRAM)
    if found and Path(found).resolve() == ours.resolve():
        return PROGRAM
    here = Path.cwd()
    return str(ours.relative_to(here) if ours.is_relative_to(here) else ours)
