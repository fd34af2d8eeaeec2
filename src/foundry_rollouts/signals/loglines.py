"""Read calls out of a session's log: which status they ended with, and whether they wrote an error line.

An access line ends a call. Error lines and tracebacks since the access line before belong to that call; several of
them count once, for one fault may write many lines.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.core.measurement import Sample
from foundry_rollouts.ports import LogLine

#: ``Inbound POST /responses completed with status 200 in 12.3ms`` (the hosting library).
HOSTING = re.compile(r"Inbound POST /(?:responses|invocations)\S* completed with status (\d{3})(?: in ([\d.]+) ?ms)?")
#: ``"POST /responses HTTP/1.1" 200`` (http.server, uvicorn, hypercorn and most others).
ACCESS = re.compile(r'"POST /(?:responses|invocations)[^"]* HTTP/[\d.]+" (\d{3})\b')
#: A level word of the usual log formats, as a word of its own near the line's beginning.
LEVEL = re.compile(r"^(?:.{0,60}?[\s\[|:\"])?(ERROR|CRITICAL|FATAL)\b")
TRACEBACK = re.compile(r"^\s*(?:Traceback \(most recent call last\):|Unhandled exception|panic: )")


@dataclass(slots=True)
class CallReader:
    """Follows the lines of one session and yields a sample at the end of each call."""

    has_error: bool = False
    is_hosted: bool = False  #: The hosting library tells of each call; the server below it tells the same again.

    def read(self, line: LogLine) -> Iterator[Sample]:
        """Yield the sample that ``line`` completes, if it completes one."""
        if line.stream == "status":
            return
        if found := HOSTING.search(line.text):
            self.is_hosted = True
            yield self._sample(int(found[1]), _span(found[2]))
        elif found := ACCESS.search(line.text):
            if not self.is_hosted:
                yield self._sample(int(found[1]), None)
        elif LEVEL.match(line.text) or TRACEBACK.match(line.text):
            self.has_error = True

    def end(self) -> Iterator[Sample]:
        """Yield the sample of a call that the session's death cut off, if there was one."""
        if self.has_error:
            self.has_error = False
            yield Sample(cause="session ended on an error", has_log_error=True)

    def _sample(self, status: int, latency: timedelta | None) -> Sample:
        cause = f"HTTP {status}" if status >= 500 else None
        sample = Sample(cause=cause, latency=latency, has_log_error=self.has_error)
        self.has_error = False
        return sample


def _span(milliseconds: str | None) -> timedelta | None:
    """Return the span that a log line tells; None when it tells none, or nothing that could be one."""
    try:
        return timedelta(milliseconds=float(milliseconds)) if milliseconds else None
    except (ValueError, OverflowError):
        return None
