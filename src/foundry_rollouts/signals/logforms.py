"""The forms in which a call and an error stand in a log: Microsoft's hosting library, the usual servers, .NET.

Each was read off the real thing, or off its source. A call is a POST to a protocol's own path; what asks for an
earlier call, or cancels it, is none.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

_PATH = r"(?P<path>/responses|/invocations)/?(?:\?[^\s\"]*)?"
_LOGGER = r"azure\.ai\.agentserver(?:\.[\w.]+)?"
_LIBRARY = rf"^[^\"{{]{{0,120}}?\b(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) {_LOGGER}: "
_ENDED = (
    rf"Inbound POST {_PATH} (?:completed|failed) with status (?P<status>\d{{3}})"
    r"(?: in (?P<ms>[\d.]+) ?ms)?(?P<ids> \([^)]*\))?"
)

#: ``2026-11-30 00:49:42,130 INFO azure.ai.agentserver: Inbound POST /responses completed with status 200 in 77.3ms``.
_HOSTED = re.compile(_LIBRARY + _ENDED)
#: The same words behind anything else: another format, or a record of an exporter.
_RETOLD = re.compile(rf"(?P<quote>\"?){_ENDED}")
#: ``Request finished HTTP/1.1 POST http://localhost:8088/responses - 500 - application/json 12.3ms`` (.NET).
_KESTREL = re.compile(
    rf"Request finished HTTP/[\d.]+ POST (?:https?://[^\s/]+)?{_PATH}(?: [^\"]*?)? - (?P<status>\d{{3}})\b"
    r"(?:[^\"]*? (?P<ms>[\d.]+) ?ms)?"
)
#: ``"POST /responses HTTP/1.1" 200`` (uvicorn, gunicorn, nginx), ``"POST /responses 1.1" 200`` (hypercorn).
_ACCESS = re.compile(
    rf"\\?\"POST (?:https?://[^\s/]+)?{_PATH} (?P<http>HTTP/)?[\d.]+\\?\" (?P<status>\d{{3}}|-)(?![\w.])"
)

#: A line of the library itself: it tells of each call, and what others tell is an echo.
_OF_LIBRARY = re.compile(_LIBRARY)
_STARTED = re.compile(r"Inbound [A-Z]+ /\S* started")

#: What the library says of a call that failed: ``Handler raised after response.created (response_id=caresp_…)``,
#: ``Error processing invocation …``, ``Response caresp_… completed: status=failed``.
_FAULT = (
    r"(?:[^\"]*?\(response_id=(?P<response>[\w-]{8,})\)|Error processing invocation (?P<invocation>[\w-]{8,})"
    r"|Response (?P<whole>[\w-]{8,}) completed: status=failed\b)"
)
#: One of them stands in each such line.
_PARTS_OF_FAULTS = ("(response_id=", "Error processing invocation ", " completed: status=failed")
_LIBRARY_FAULT = re.compile(_LIBRARY + r"(?!checkpoint )" + _FAULT)
_RETOLD_FAULT = re.compile(r"\b(?=Handler |First-event |Persistence |Error processing |Response )" + _FAULT)

#: A server that caught what its application raised; where an answer had begun, no access line tells of it.
_CRASH = re.compile(
    r"Exception in ASGI application|Error in ASGI Framework|Error handling request\b"
    r"|[Uu]nhandled exception (?:was thrown by the application|has occurred while executing the request)"
)
_PARTS_OF_CRASHES = ("ASGI", "Error handling request", "nhandled exception")
TRACEBACK = re.compile(
    r"^\s*(?:\+ )?(?:(?:Exception Group )?Traceback \(most recent call last\):|Unhandled exception|panic: )"
)
#: A level word of the usual log formats, as a word of its own near the line's beginning.
_NEAR_THE_BEGINNING = r"^(?:.{0,60}?[\s\[|:\"])?"
ERROR = re.compile(rf"{_NEAR_THE_BEGINNING}(?:ERROR|CRITICAL|FATAL)\b|^(?:fail|crit): ")
LOGGED = re.compile(rf"{_NEAR_THE_BEGINNING}(?:DEBUG|INFO|WARN|WARNING)\b|^(?:dbug|info|warn): ")
#: An exporter that cannot reach its server: no call's error.
EXPORTER = re.compile(r"\b(?:ERROR|CRITICAL) (?:azure\.monitor\.)?opentelemetry\.")

#: A line of a record that an exporter writes as JSON, over many lines or on one.
RECORD = re.compile(r"^\s*(?:\"[\w.]+\": |[{}\[\]]+,?\s*$)|^\{.*\"severity_?[tT]ext\"")
SEVERE = re.compile(r"\"severity_?[tT]ext\": ?\"(?:ERROR|CRITICAL|FATAL)")


class Form(IntEnum):
    """Who tells of a call; what stands higher outweighs the lower, which only echoes it."""

    UNKNOWN = 0
    ACCESS = 1
    RETOLD = 2
    HOSTED = 3


@dataclass(frozen=True, slots=True)
class CallLine:
    """A line that ends a call."""

    form: Form
    shape: str  #: Tells writers of one form apart: a proxy and a server may each log the call.
    path: str
    status: int | None  #: None: the server cannot say how it ended.
    milliseconds: str | None = None
    request: str | None = None  #: The whole message, where it names the request: it comes once.
    is_quiet: bool = False  #: Said though the library may be set to keep silent on calls that go well.


def call_line(text: str) -> CallLine | None:
    """Return the call that ``text`` ends; None when it ends none."""
    if "POST " not in text:  # Most lines end no call: to search them for each form would cost more than all else.
        return None
    if found := _HOSTED.match(text):
        return _inbound(Form.HOSTED, "library", found, is_quiet=found["level"] not in {"DEBUG", "INFO"})
    if found := _RETOLD.search(text):
        return _inbound(Form.RETOLD, "record" if found["quote"] else "text", found)
    if found := _KESTREL.search(text):
        return CallLine(Form.ACCESS, "kestrel", found["path"], int(found["status"]), found["ms"])
    if found := _ACCESS.search(text):
        status = None if found["status"] == "-" else int(found["status"])
        return CallLine(Form.ACCESS, _shape(text[: found.start()], found), found["path"], status)
    return None


def _inbound(form: Form, shape: str, found: re.Match[str], *, is_quiet: bool = False) -> CallLine:
    request = found[0][found[0].index("Inbound") :] if found["ids"] else None
    return CallLine(form, shape, found["path"], int(found["status"]), found["ms"], request, is_quiet)


def _shape(before: str, found: re.Match[str]) -> str:
    """Return how the server writes: with a date in brackets as Apache did, with a level, or neither."""
    style = "dated" if "[" in before else "levelled" if before.lstrip().startswith("INFO") else "plain"
    return style if found["http"] else f"{style} without HTTP"


def form_of_library(text: str) -> Form:
    """Return how the library tells of calls in this log, as far as a line that ends none shows it."""
    if "azure.ai.agentserver" in text and (found := _OF_LIBRARY.match(text)) and found["level"] in {"DEBUG", "INFO"}:
        return Form.HOSTED
    return Form.RETOLD if "Inbound " in text and _STARTED.search(text) else Form.UNKNOWN


def is_crash(text: str) -> bool:
    """Whether a server tells what its application raised."""
    return any(part in text for part in _PARTS_OF_CRASHES) and _CRASH.search(text) is not None


def fault_of(text: str, form: Form) -> str | None:
    """Return the id of the response or invocation that the library says has failed; None for any other line."""
    if not any(part in text for part in _PARTS_OF_FAULTS):
        return None
    found = (_LIBRARY_FAULT if form is Form.HOSTED else _RETOLD_FAULT).search(text)
    if found is None or (form is Form.HOSTED and not found["whole"] and found["level"] not in {"ERROR", "CRITICAL"}):
        return None
    return found["response"] or found["invocation"] or found["whole"]
