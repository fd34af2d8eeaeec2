"""Logging: one form for all log lines, those of libraries too, and no secret in any of them."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, get_args

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from foundry_rollouts.errors import UsageError
from foundry_rollouts.tracing import trace_ids
from foundry_rollouts.untrusted import REDACTED, clean, redacted, visible_line

LogFormat = Literal["console", "json"]

#: Loggers that say too much: addresses with signatures in them, a line for each tick, SQL with values.
TALKATIVE = ("httpx", "httpcore", "azure", "msal", "apscheduler", "aiosqlite", "alembic", "uvicorn.access")

SECRET_NAMES = re.compile(r"authorization|password|secret|(^|_)token$|api_?key|cookie", re.IGNORECASE)
#: What holds several lines by its nature; anything else is on one line, so that nobody's text can forge a second.
_TRACES = frozenset({"exception", "stack"})


def configure_logging(format: LogFormat, level: str = "INFO") -> None:  # noqa: A002 - the word of the setting
    """Send all log lines to stderr in one form, without secrets and without the values of local variables.

    Raises UsageError for a format or a level that does not exist. A second call replaces the first.
    """
    if format not in get_args(LogFormat):
        raise UsageError(f"log format {format!r} does not exist: use console or json")
    if level.upper() not in logging.getLevelNamesMapping():
        raise UsageError(f"log level {level!r} does not exist: use debug, info, warning or error")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        with_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    _send_to_stderr(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(format)],
        ),
        level.upper(),
    )


def _renderers(format: LogFormat) -> list[structlog.typing.Processor]:  # noqa: A002 - the word of the setting
    """Exceptions become text before the redaction, so that it sees them too."""
    if format == "json":
        traces = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        return [traces, redact, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.format_exc_info, redact, console]


def _send_to_stderr(formatter: logging.Formatter, level: str) -> None:
    root, name = logging.getLogger(), "foundry-rollouts"
    for handler in [handler for handler in root.handlers if handler.get_name() == name]:
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name(name)
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(level)
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.WARNING)
        # A server that was set up earlier may have kept its lines to itself.
        logging.getLogger(talkative).propagate = True


def with_trace(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Name the trace and the span that a line belongs to, where there is one."""
    if ids := trace_ids():
        line["trace_id"], line["span_id"] = ids
    return line


def redact(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Blot out what looks like a secret, by its name or by its form, and make visible what is no writing."""
    return {name: REDACTED if SECRET_NAMES.search(name) else _cleaned(value, name) for name, value in line.items()}


def _cleaned(value: Any, name: str = "") -> Any:
    match value:
        case str():
            return clean(value) if name in _TRACES else visible_line(redacted(value))
        case Mapping():
            return redact(None, "", {str(name): each for name, each in value.items()})
        case list() | tuple():
            return [_cleaned(each) for each in value]
        case _:
            return value
