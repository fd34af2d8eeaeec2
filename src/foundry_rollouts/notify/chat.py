"""A target that apprise knows: a chat, a pager, a mailbox, by one address.

The library is an extra, and is imported when the first message is sent. It works with threads that wait; each target
has a few of its own, so that one which hangs takes nobody else's.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from foundry_rollouts.core.model.notice import Severity
from foundry_rollouts.notify.dispatcher import UndeliveredError
from foundry_rollouts.notify.wording import Words

#: How many messages to one target are on their way at once.
MAX_CONCURRENT = 4
MISSING = "apprise is not installed: pip install 'foundry-rollouts[notify]'"
_KINDS = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


@dataclass(slots=True)
class Chat:
    """Says words at one address. What it raises holds no part of the address, nor of what was answered."""

    url: str = field(repr=False)
    limit: timedelta
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)
    _service: Any = field(default=None, init=False)

    async def say(self, words: Words, key: str) -> None:
        """Return when the service took ``words``; raise UndeliveredError when it did not. ``key`` goes with them."""
        del key  # There is no place for it: these services know no duplicates.
        self._threads = self._threads or ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="notify")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.limit.total_seconds()):
                is_taken = await loop.run_in_executor(self._threads, self._say, words)
        except TimeoutError as error:
            raise UndeliveredError(f"it gave no answer within {self.limit.total_seconds():g} s") from error
        if not is_taken:
            raise UndeliveredError("it did not take the message")

    async def aclose(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _say(self, words: Words) -> bool:
        # Whatever a plug-in of the library trips over, the library says False.
        kind = _KINDS[words.severity]
        return bool(self._opened().notify(words.text, title=words.title, notify_type=kind))

    def _opened(self) -> Any:
        if self._service is None:
            try:
                import apprise
            except ImportError:
                raise UndeliveredError(MISSING) from None
            logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # Its lines hold addresses.
            opened = apprise.Apprise()
            if not opened.add(self.url):
                raise UndeliveredError("apprise knows no such address: compare it with its documentation")
            self._service = opened
        return self._service
