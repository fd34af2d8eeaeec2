"""The service's logs as tests have them: structlog's own form, but for tracebacks."""

import structlog


def log_plainly() -> None:
    """Set logging back to what tests begin with. Left to itself, structlog takes seconds to draw a traceback."""
    structlog.reset_defaults()
    plainly = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plainly])
