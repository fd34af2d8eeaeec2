"""Read calls out of a session's log: which status they ended with, whether they failed behind it, what they logged.

A line that ends a call tells its status; several writers may tell of one call, and one of them counts. Error lines
and tracebacks since the call before belong to that call; several of them count once, for one fault may write many
lines. What the hosting library says of a response that failed makes its call a failure whatever the status: by then
it may have been sent. Where a line before the end of a failed call names the rate limit or the quota of the agent's
model, the call failed for that. Calls of one session may overlap; a failure goes to the next one that ends, so that the
numbers are right whichever it was.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from foundry_rollouts.core.model.failures import MODEL_LIMIT, cause_of, names_model_limit
from foundry_rollouts.core.model.measurement import Sample
from foundry_rollouts.errors import OUR_OWN_STATUSES
from foundry_rollouts.ports import LogLine
from foundry_rollouts.signals.logforms import (
    ERROR,
    EXPORTER,
    LOGGED,
    RECORD,
    SEVERE,
    TRACEBACK,
    CallLine,
    Form,
    call_line,
    fault_of,
    form_of_library,
    is_crash,
)

TOO_MANY = 429
REMEMBERED = 200  #: Requests and faults that may be logged once more.


@dataclass(slots=True)
class CallReader:
    """Follows the lines of one session and yields a sample at the end of each call."""

    has_error: bool = False
    form: Form = Form.UNKNOWN  #: The best that this log has; the others are echoes.
    shapes: dict[str, tuple[Form, str]] = field(default_factory=dict)  #: By path, who counts.
    last: CallLine | None = None  #: Counted by a lesser form, which a better one may tell again.
    faults: dict[str, None] = field(default_factory=dict)  #: Failures that no call was charged with yet.
    known: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))  #: Requests and faults counted.
    is_limited: bool = False  #: The agent's model refused a call, of which the end is not read yet.
    is_in_crash: bool = False  #: A server tells what its application raised.
    crashes: int = 0

    def read(self, line: LogLine) -> Iterator[Sample]:
        """Yield the sample that ``line`` completes, if it completes one."""
        if line.stream == "status":
            return
        if call := call_line(line.text):
            self.is_in_crash = False
            if not self._is_echo(call) and (sample := self._sample(call)):
                yield sample
        else:
            form = form_of_library(line.text)
            self.form = max(self.form, form)
            self.last = self.last if form is Form.UNKNOWN else None
            self._note(line.text)

    def end(self) -> Iterator[Sample]:
        """Yield the samples of calls that the session's death cut off."""
        for _ in range(max(int(self.has_error), len(self.faults))):
            yield Sample(cause="session ended on an error", has_log_error=True)
        self.has_error, self.is_limited, self.crashes = False, False, 0
        self.faults.clear()

    def _is_echo(self, call: CallLine) -> bool:
        """Whether another line tells of this call; otherwise note who tells."""
        form, shape = self.shapes.get(call.path, (Form.UNKNOWN, ""))
        if call.form < self.form or call.form < form or (call.form == form and call.shape != shape):
            return True
        if call.request in self.known or (call.is_quiet and Form.UNKNOWN < form < call.form):
            return True
        if call.request:
            self.known.append(call.request)
        before, self.last = self.last, call if call.form < Form.HOSTED else None
        if not call.is_quiet:
            self.form = max(self.form, call.form) if call.form > Form.ACCESS else self.form
            self.shapes[call.path] = call.form, call.shape
        is_logged = before is not None and before.form < call.form
        return is_logged and before is not None and (before.path, before.status) == (call.path, call.status)

    def _sample(self, call: CallLine) -> Sample | None:
        """Return what came of the call; None when that says nothing of the version."""
        has_error, self.has_error = self.has_error, False
        is_limited, self.is_limited = self.is_limited, False
        is_charged = call.status is None or not 400 <= call.status < 500
        has_failed = self._charge() if is_charged else False
        if call.status is None and not has_failed:
            return None  # The caller hung up.
        cause = cause_of(call.status or 200)
        if has_failed and cause is None:
            cause = "an error after HTTP 200"
        if is_limited and (call.status == TOO_MANY or (cause is not None and is_charged)):
            cause = MODEL_LIMIT  # The cloud's own throttling never reaches the container.
        elif call.status in OUR_OWN_STATUSES:
            return None
        return Sample(cause=cause, latency=_span(call.milliseconds), has_log_error=has_error)

    def _charge(self) -> bool:
        """Charge one failure to the call that ends, if there is one left."""
        if self.faults:
            fault = next(iter(self.faults))
            del self.faults[fault]
            self.known.append(fault)
            return True
        if self.crashes:
            self.crashes -= 1
            return True
        return False

    def _note(self, text: str) -> None:
        """Note what a line says of the call that is to end next."""
        self.is_limited = self.is_limited or names_model_limit(text)
        fault = fault_of(text, self.form)
        if fault and fault not in self.known:
            self.faults[fault] = None
        if RECORD.match(text):
            # Where the library writes lines of its own, an exporter's record only repeats one of them.
            self.has_error = self.has_error or (self.form is not Form.HOSTED and bool(SEVERE.search(text)))
        elif is_crash(text):
            self._crashed()
        elif TRACEBACK.match(text):
            self.has_error = self.has_error or not self.is_in_crash
        elif ERROR.match(text):
            self.is_in_crash = False
            self.has_error = self.has_error or not EXPORTER.search(text)
        elif LOGGED.match(text):
            self.is_in_crash = False

    def _crashed(self) -> None:
        """Note what a server caught; the hosting library has logged that call before."""
        if self.form is Form.UNKNOWN and not self.is_in_crash:
            self.crashes += 1
            self.has_error = True
        self.is_in_crash = True


def _span(milliseconds: str | None) -> timedelta | None:
    """Return the span that a log line tells; None when it tells none, or nothing that could be one."""
    try:
        return timedelta(milliseconds=float(milliseconds)) if milliseconds else None
    except (ValueError, OverflowError):
        return None
