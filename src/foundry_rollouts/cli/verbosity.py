"""Whether the command line was asked to say more: it may be asked anywhere among the arguments."""

from contextvars import ContextVar

_IS_VERBOSE: ContextVar[bool] = ContextVar("is_verbose", default=False)


def set_verbose(is_verbose: bool) -> None:
    _IS_VERBOSE.set(is_verbose)


def is_verbose() -> bool:
    return _IS_VERBOSE.get()
