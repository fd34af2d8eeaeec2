"""The policies in force: a file or folder that is read again when it changes.

Law: a broken file never replaces a good one. Each file is held against its own last good content; when the
files contradict each other, the set as it was stays in force. What is wrong is remembered in ``problems``.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from watchfiles import Change, awatch

from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.errors import PolicyError
from foundry_rollouts.policies.aside import read_aside
from foundry_rollouts.policies.choosing import most_exact, policy_named
from foundry_rollouts.policies.contents import SUFFIXES, is_folder
from foundry_rollouts.policies.load import FileRead, Written, clashes, joined, listed, read

Result = TypeVar("Result")

TRY_AGAIN_SECONDS = 5.0  #: After a folder that cannot be watched.
LIST_AGAIN_SECONDS = 60.0  #: Some file systems announce no change; and a reading may have been cut off.


class PolicyFolder:
    """The policies of a file or folder; satisfies ``ports.Policies``."""

    def __init__(self, path: Path) -> None:
        """Read ``path``. Raises PolicyError with every problem when it is not all good."""
        self.path = path
        self._files: dict[Path, FileRead] = {}
        self._good: dict[Path, tuple[Written, ...]] = {}
        self._policies: tuple[Policy, ...] = ()
        self._problems: tuple[str, ...] = ()
        self._prompts: frozenset[Path] = frozenset()
        self.reload()
        if self._problems:
            raise PolicyError(self._problems)

    @property
    def problems(self) -> Sequence[str]:
        return self._problems

    def all(self) -> Sequence[Policy]:
        return self._policies

    def named(self, name: str) -> Policy:
        """Return the policy called ``name``. Raises NotFoundError."""
        return policy_named(self.all(), name)

    def policy_for(self, agent: str) -> Policy | None:
        """Return the policy that names ``agent`` most exactly, or None. Raises UsageError on a tie."""
        return most_exact(self.all(), agent)

    def reload(self) -> bool:
        """Read what changed; return whether the policies in force, or the problems, are others than before."""
        return self._take(read(self.path, self._files))

    async def _reload_aside(self) -> bool:
        """Do as ``reload`` does, but list in a thread and read in another process: a file may be anything."""
        known = self._files
        listing = await _in_background(lambda: listed(self.path, known))
        fresh = await read_aside(listing.changed) if listing.changed else {}
        return self._take(await _in_background(lambda: joined(listing, known, fresh)))

    async def _reload_until(self, stop: asyncio.Event, on_reload: Callable[[], None]) -> None:
        """Reload, and call ``on_reload`` when it tells; what is still being read when ``stop`` is set is let go."""
        reload, stopped = asyncio.create_task(self._reload_aside()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((reload, stopped), return_when=asyncio.FIRST_COMPLETED)
            if reload.done() and await reload:
                on_reload()
        finally:
            for task in (reload, stopped):
                task.cancel()
            await asyncio.gather(reload, stopped, return_exceptions=True)

    def _take(self, files: Sequence[FileRead]) -> bool:
        before = self._policies, self._problems
        self._read_at = time.monotonic()
        is_hidden = any(file.is_folder for file in files) or not self._exists()
        good = self._good if is_hidden else {file.path: self._newest_good(file) for file in files}
        problems = [line for file in files for line in file.problems]
        contradictions = clashes(each for written in good.values() for each in written)
        if not contradictions:
            self._good = good
            self._policies = tuple(each.policy for written in good.values() for each in written)
        self._files = {file.path: file for file in files}
        self._problems = (*problems, *contradictions)
        self._prompts = frozenset(named for file in files for named in file.prompts) or self._prompts
        return (self._policies, self._problems) != before

    def _exists(self) -> bool:
        try:
            return self.path.exists()
        except OSError:
            return False

    def _newest_good(self, file: FileRead) -> tuple[Written, ...]:
        return self._good.get(file.path, ()) if file.problems else file.written

    async def watch(self, stop: asyncio.Event, on_reload: Callable[[], None] = lambda: None) -> None:
        """Reload after every change of the files, until ``stop`` is set; call ``on_reload`` when it tells."""
        while not stop.is_set():
            await self._reload_until(stop, on_reload)
            try:
                await self._watch_folders(stop, on_reload)
            except OSError:
                # Such a folder tells nothing of itself; what can be read of it is read once in a while.
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), TRY_AGAIN_SECONDS)

    async def _watch_folders(self, stop: asyncio.Event, on_reload: Callable[[], None]) -> None:
        """Reload after every change until ``stop`` is set or a folder was replaced. Raises OSError."""
        folders = self._folders()
        if not folders:
            raise PermissionError(f"no folder above {self.path} may be watched")
        is_first = True
        async for changes in awatch(
            *folders.values(),
            watch_filter=self._matters,
            stop_event=stop,
            recursive=False,
            yield_on_timeout=True,
            rust_timeout=5000,
        ):
            # The first time for what changed before the watch began.
            if changes or is_first or time.monotonic() - self._read_at > LIST_AGAIN_SECONDS:
                is_first = False
                await self._reload_until(stop, on_reload)
            # A folder that was replaced as a whole tells nothing of itself: its number has changed.
            if self._folders() != folders:
                return

    def _folders(self) -> dict[int, Path]:
        """Return the folders, by file number, in which a replaced file or a swapped symlink shows."""
        home = self.path if is_folder(self.path) else self.path.parent
        nearest = next(folder for folder in (home, *home.absolute().parents) if is_folder(folder))
        folders = {nearest, *(prompts.parent for prompts in self._prompts if is_folder(prompts.parent))}
        return {folder.stat().st_ino: folder for folder in folders if os.access(folder, os.R_OK | os.X_OK)}

    def _matters(self, _change: Change, changed: str) -> bool:
        """Tell files of ours, and the ``..data`` link of a mounted ConfigMap, from what else lies there."""
        path = Path(changed)
        ours = {self.path.name, *(prompts.name for prompts in self._prompts)}
        return path.suffix in SUFFIXES or path.name in ours or path.name.startswith("..")


async def _in_background(work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns, from a thread that keeps neither the loop nor the end of the process waiting."""
    answer: Future[Result] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            answer.set_exception(error)

    threading.Thread(target=run, name="policies", daemon=True).start()
    return await asyncio.wrap_future(answer)
