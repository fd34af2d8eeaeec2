"""Reading policy files in a process of their own, so that no file keeps the service waiting or takes its memory.

The other process is this module as a program: paths go in, what each file holds comes back in the same order.
"""

import asyncio
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from foundry_rollouts.policies.contents import seen
from foundry_rollouts.policies.load import FileRead, read_file

#: Of the processor, for one file; ordinary files take milliseconds.
MOST_SECONDS = 20
#: Bytes of address space of the reading process.
MOST_MEMORY = 1 << 30
#: How long to wait for one file, however busy the machine is and however slow its disk.
ANSWER_WITHIN_SECONDS = 300.0

_LENGTH = 8  #: Bytes that say how long an answer is.
#: Who ends the process so does not mean the file: it is read once more later.
_ENDED_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})


async def read_aside(paths: Sequence[Path], most_seconds: int = MOST_SECONDS) -> dict[Path, FileRead]:
    """Read ``paths`` in another process; a file that it cannot cope with is a problem of that file alone."""
    read: dict[Path, FileRead] = {}
    while left := [path for path in paths if path not in read]:
        try:
            process = await _start(left, most_seconds)
        except OSError as error:
            return read | {path: _unread(path, f"no process could be started, {error.strerror}") for path in left}
        try:
            await _collect(process, left, read)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return read


async def _start(paths: Sequence[Path], most_seconds: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "foundry_rollouts.policies.aside", str(most_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    stdin = cast("asyncio.StreamWriter", process.stdin)
    stdin.write(b"\0".join(os.fsencode(path) for path in paths))
    stdin.close()
    return process


async def _collect(process: asyncio.subprocess.Process, paths: Sequence[Path], read: dict[Path, FileRead]) -> None:
    """Take the answers in turn into ``read``, until all are there or one does not come."""
    stdout = cast("asyncio.StreamReader", process.stdout)
    for path in paths:
        before = seen(path)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                length = int.from_bytes(await stdout.readexactly(_LENGTH))
                # It comes from our own program; nothing that a file holds chooses what is built.
                read[path] = pickle.loads(await stdout.readexactly(length))  # noqa: S301
        except TimeoutError:
            read[path] = _unread(path, f"there was no answer within {ANSWER_WITHIN_SECONDS:g} s")
            return
        except asyncio.IncompleteReadError:
            code = await process.wait()
            read[path] = _unread(path, _why_ended(code))
            if code not in _ENDED_FROM_OUTSIDE:
                read[path] = replace(read[path], seen=before)
            return


def _why_ended(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "it takes too much time of the processor"
    return f"the process that reads it ended with {code}"


def _unread(path: Path, why: str) -> FileRead:
    """Report a file that is to be read once more."""
    line = f"{path}:1:1: this cannot be read, {why}: write it more simply, or split it"
    return FileRead(path, problems=(line,))


def main() -> None:
    """Answer for each path that stands in the input; the argument says how many seconds one file may take."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for name in sys.stdin.buffer.read().split(b"\0"):
        most = int(time.process_time()) + int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
        path = Path(os.fsdecode(name))
        before = seen(path)
        try:
            answer = read_file(path)
        except MemoryError:
            answer = replace(_unread(path, "it takes more than a gigabyte of memory"), seen=before)
        content = pickle.dumps(answer)
        sys.stdout.buffer.write(len(content).to_bytes(_LENGTH) + content)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
