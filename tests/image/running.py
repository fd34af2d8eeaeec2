"""Runs what an image says, as its user and as process 1, on a root that cannot be written to and has no shell.

No container engine: namespaces of the kernel and a ``chroot``, which is what an engine uses too.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patience import PATIENCE

#: What is done in a mount namespace of its own before the program takes the place of the shell.
ENTER = """
set -e
root=$1 state=$2 user=$3; shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$state" "$root/var/lib/foundry-rollouts"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for shell in sh dash bash; do mount --bind /dev/null "$root/usr/bin/$shell"; done
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" \\
    /usr/bin/env --ignore-environment --chdir=/var/lib/foundry-rollouts "$@"
"""
#: The environment of the shell that enters; the program gets none of it.
OUTSIDE = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


@dataclass(frozen=True, slots=True)
class Container:
    """How the image in the folder ``root`` is run; ``state`` is the one folder that it may write to."""

    root: Path
    state: Path
    config: dict[str, Any]

    def command(self, *words: str, **variables: str) -> list[str]:
        """Return the command that runs ``words``, or what the image runs by itself, with ``variables`` set too."""
        assert self.config["WorkingDir"] == "/var/lib/foundry-rollouts"
        settings = [*self.config["Env"], *(f"{key}={value}" for key, value in variables.items())]
        program = words or (*self.config["Entrypoint"], *self.config["Cmd"])
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter"]
        return [*enter, str(self.root), str(self.state), self.config["User"], *settings, *program]

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``words`` to the end."""
        return subprocess.run(
            self.command(*words, **variables),
            env=OUTSIDE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,  # the demo is a long story
            check=False,
        )

    @contextmanager
    def started(self, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start what the image runs by itself; its lines go to ``log``."""
        with (
            log.open("wb") as out,
            subprocess.Popen(self.command(**variables), env=OUTSIDE, stdout=out, stderr=subprocess.STDOUT) as process,
        ):
            try:
                yield process
            finally:
                process.kill()


def terminate(process: subprocess.Popen[bytes]) -> int:
    """Ask the program inside to end, as an engine does, and return its exit code."""
    inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8").split()
    os.kill(int(inside[0]), signal.SIGTERM)
    return process.wait(PATIENCE)
