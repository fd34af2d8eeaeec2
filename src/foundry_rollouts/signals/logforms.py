"""The forms in which a call and an error stand in a log: Microsoft's hosting library, the usual servers, Kestrel.

Each form was read off the real thing, or off its source. A call is a POST to a protocol's own path; what asks for or
cancels an earlier call is none.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

_PATH = r"(/responses|/invocations)/?(?:\?[^\s\"]*)?"
_LIBRARY = r"^[^\"{]{0,120}?\b(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) azure\.ai\.agentserver(?:\.[\w.]+)?: "
_INBOUND = rf"Inbound POST {_PATH} (?:completed|failed) with status (\d{{3}})(?: in ([\d.]+) ?ms)?(?P<ids> \([^)]*\))?"

#: ``2026-11-30 00:49:42,130 INFO azure.ai.agentserver: Inbound POST /responses completed with status 200 in 77.3ms``.
HOSTED = re.compile(_LIBRARY + _INBOUND)
#: The same words behind anything else: another format, or a JSON record of an exporter.
RETOLD = re.compile(rf"(?P<quote>\")?{_INBOUND}")
#: ``Request finished HTTP/1.1 POST http://localhost:8088/responses - 500 - application/json 12.3ms`` (.NET).
KESTREL = re.compile(
    rf"Request finished HTTP/[\d.]+ POST (?:https?://[^\s/]+)?{_PATH}(?:\s[^\"]*?)? - (\d{{3}})\b(?:[^\"]*? ([\d.]+) ?ms)?"
)
#: ``"POST /responses HTTP/1.1" 200`` (uvicorn, gunicorn, nginx), ``"POST /responses 1.1" 200`` (hypercorn).
ACCESS = re.compile(rf"\\?\"POST (?:https?://[^\s/]+)?{_PATH} (?P<http>HTTP/)?[\d.]+\\?\" (\d{{3}})\b")

#: Any line of the library that is no call: it will tell of each call itself.
LIBRARY = re.compile(_LIBRARY)
#: An error that the library ties to a call: ``Handler raised after response.created (response_id=caresp_…)``.
_FAILED_ID = r"(?:response_id=|create request |response |invocation )([\w-]{8,})"
LIBRARY_ERROR = re.compile(rf"^[^\"{{]{{0,120}}?\b(?:ERROR|CRITICAL) azure\.ai\.agentserver(?:\.[\w.]+)?: .*?{_FAILED_ID}")
#: ``Response caresp_… completed: status=failed output_count=0``: a whole answer that says it failed.
LIBRARY_FAILED = re.compile(_LIBRARY + r"Response ([\w-]{8,}) completed: status=failed\b")

#: A server that caught what its application raised; where an answer had begun, no access line tells of it.
CRASH = re.compile(
    r"Exception in ASGI application|Error in ASGI Framework|Error handling request\b"
    r"|An unhandled exception (?:was thrown by the application|has occurred while executing the request)"
)
#: A level word of the usual log formats, as a word of its own near the line's beginning.
LEVEL = re.compile(r"^(?:.{0,60}?[\s\[|:\"])?(?:ERROR|CRITICAL|FATAL)\b|^(?:fail|crit): ")
TRACEBACK = re.compile(
    r"^\s*(?:\+ )?(?:(?:Exception Group )?Traceback \(most recent call last\):|Unhandled exception|panic: )"
)
#: A line of a common logger, whatever its level: what a traceback before it said is over.
LOGGED = re.compile(r"^(?:.{0,60}?[\s\[|:\"])?(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b")
#: A line within a record that an exporter writes as indented JSON, and one on a single line.
RECORD = re.compile(r"^\s*(?:\"[\w.]+\": |[{}\[\]],?\s*$|[}\]],?\s*$)|^\{.*\"severity_?[tT]ext\"")
SEVERITY = re.compile(r"^\s*\"severity_?[tT]ext\": \"(?:ERROR|CRITICAL|FATAL)")
#: An exporter that cannot reach its server: no call's error.
EXPORTER = re.compile(r"(?:ERROR|CRITICAL) (?:azure\.monitor\.)?opentelemetry\.")


class Form(IntEnum):
    """Who tells of a call; the higher word outweighs the lower, which only echoes it."""

    ACCESS = 1
    RETOLD = 2
    HOSTED = 3


@dataclass(frozen=True, slots=True)
class CallLine:
    """A line that ends a call."""

    form: Form
    shape: str  #: Tells the writers of one form apart: a proxy and a server may each log the call.
    path: str
    status: int
    milliseconds: str | None
    request: str | None = None  #: The whole message, where it names the request: it comes once.


def call_line(text: str) -> CallLine | None:
    """Return the call that ``text`` ends; None when it ends none."""
    if found := HOSTED.search(text):
        return _inbound(Form.HOSTED, "library", found)
    if found := RETOLD.search(text):
        return _inbound(Form.RETOLD, "record" if found["quote"] else "text", found)
    if found := KESTREL.search(text):
        return CallLine(Form.ACCESS, "kestrel", found[1], int(found[2]), found[3])
    if found := ACCESS.search(text):
        return CallLine(Form.ACCESS, _shape(text[: found.start()], found), found[1], int(found[3]), None)
    return None


def _inbound(form: Form, shape: str, found: re.Match[str]) -> CallLine:
    plain = [group for name, group in _groups(found) if name not in {"quote", "ids"}]
    path, status, milliseconds = plain
    request = found[0].lstrip('"') if found["ids"] else None
    return CallLine(form, shape, str(path), int(str(status)), milliseconds, request)


def _groups(found: re.Match[str]) -> list[tuple[str | None, str | None]]:
    names = {number: name for name, number in found.re.groupindex.items()}
    return [(names.get(number), found[number]) for number in range(1, (found.re.groups or 0) + 1)]


def _shape(before: str, found: re.Match[str]) -> str:
    """Return how the server writes: with a date in brackets as Apache did, or without."""
    style = "dated" if "[" in before else "named" if before.lstrip().startswith("INFO") else "plain"
    return style if found["http"] else f"{style} without HTTP"
