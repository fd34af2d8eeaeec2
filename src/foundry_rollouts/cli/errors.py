"""From an error to a line on stderr and an exit code.

0 done and well
1 an error
2 wrong usage: the command line, a setting or a policy file
3 the rollout ended badly: rolled back, disabled, superseded, failed or aborted
4 a wait timed out
130 interrupted by Ctrl-C, 143 by SIGTERM: what was begun elsewhere goes on
"""

import sys
import traceback

from typer import Abort, TyperException

from foundry_rollouts.errors import ConflictError, NotFoundError, PolicyError, RolloutsError, UsageError
from foundry_rollouts.untrusted import clean

ERROR = 1
WRONG_USAGE = 2
ENDED_BADLY = 3
TIMED_OUT = 4
INTERRUPTED = 130
TERMINATED = 143


def report(error: BaseException, *, is_verbose: bool) -> int:
    """Write what went wrong to stderr, with its trace when asked for, and return the exit code."""
    cause = _cause(error)
    if is_verbose:
        sys.stderr.write(clean("".join(traceback.format_exception(error))))
    for line in _lines(cause):
        sys.stderr.write(clean(line) + "\n")
    return _code(cause)


def _cause(error: BaseException) -> BaseException:
    """Return the one error in a group of a single one, as task groups raise it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _lines(error: BaseException) -> list[str]:
    match error:
        case PolicyError():
            count = f"{len(error.problems)} problem{'s' if len(error.problems) > 1 else ''}"
            return [*error.problems, f"error: the policies are not in order, {count}: fix what is listed above"]
        case RolloutsError():
            return [f"error: {line}" for line in str(error).splitlines()]
        case TyperException():
            return [f"error: {_as_sentence(error)}"]
        case Abort() if isinstance(error.__cause__, KeyboardInterrupt):
            return ["error: interrupted"]
        case Abort():
            return ["error: nothing was answered: run it again in a terminal"]
        case OSError() if error.strerror:
            name = f": {error.filename}" if error.filename else ""
            return [f"error: {error.strerror}{name}"]
        case _:
            what = " ".join(str(error).split()) or "no text"
            kind = type(error).__name__
            return [f"error: unexpected {kind}: {what}: this is a fault of foundry-rollouts; --verbose shows where"]


def _as_sentence(error: TyperException) -> str:
    what = " ".join(error.format_message().split()).rstrip(".")
    path = getattr(getattr(error, "ctx", None), "command_path", "foundry-rollouts")
    return f"{what[:1].lower()}{what[1:]}; see {path} --help"


def _code(error: BaseException) -> int:
    match error:
        case ConflictError() | NotFoundError():
            return ERROR
        case UsageError():
            return WRONG_USAGE
        case TyperException():
            return error.exit_code
        case Abort() if isinstance(error.__cause__, KeyboardInterrupt):
            return INTERRUPTED
        case _:
            return ERROR
