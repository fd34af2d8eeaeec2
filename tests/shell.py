"""One real bash that runs text piece by piece, as a reader does who copies one block after the other.

Variables, functions, the folder and background jobs last from one piece to the next. A command that fails outside a
condition is noted, and the piece goes on: the reader sees the error and types the next line.
"""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from select import select
from types import TracebackType

STEP = re.compile(r"^# step: (?P<name>.+?)(?: \(needs (?P<needs>[\w-]+)\))?$", re.MULTILINE)
PATIENCE = 240  #: Seconds for one piece; only what hangs takes longer.
_NOTE = """set -o errtrace -o pipefail
trap 'echo "exit code $?: $BASH_COMMAND" >> "$FAILED"' ERR
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A named piece of a script; ``needs`` is a program without which it is left out."""

    name: str
    text: str
    needs: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a piece wrote, and which of its commands failed."""

    output: str
    failed: str

    def __str__(self) -> str:
        """Return both, for a report."""
        return f"{self.failed}\n--- output ---\n{self.output}"


def steps_of(script: Path) -> list[Step]:
    """Return the steps of a script, each from its comment ``# step: NAME`` to the next."""
    text = script.read_text("utf-8")
    starts = list(STEP.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    return [Step(it["name"], text[it.end() : end], it["needs"]) for it, end in zip(starts, ends, strict=True)]


class Bash:
    """The shell; leave its block to end it and everything it started."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._notes = folder / ".pieces"
        self._notes.mkdir(parents=True)
        self._count = 0
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**environment, "FAILED": str(self._notes / "failed")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._write(_NOTE)

    def __enter__(self) -> "Bash":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def run(self, text: str) -> Outcome:
        """Run one piece to its end, and return what came of it."""
        self._count += 1
        piece, output, failed = (self._notes / name for name in (f"{self._count}.sh", f"{self._count}.out", "failed"))
        piece.write_text(text, "utf-8")
        failed.write_text("", "utf-8")
        self._write(f'source "{piece}" > "{output}" 2>&1 < /dev/null\necho\n')
        trouble = self._wait()
        said = output.read_text("utf-8", "replace") if output.exists() else ""
        return Outcome(said, failed.read_text("utf-8") + trouble)

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # the shell has ended, which _wait says

    def _wait(self) -> str:
        assert self._process.stdout is not None
        if not select([self._process.stdout], [], [], PATIENCE)[0]:
            return f"no end after {PATIENCE} s"
        return "" if os.read(self._process.stdout.fileno(), 1) else "the shell ended"
