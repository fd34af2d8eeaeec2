"""What a version is made of, as options say it."""

import io
import shlex
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.options import parse_span
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import UsageError

if TYPE_CHECKING:
    from foundry_rollouts.foundry.definition import Labels

PROTOCOL_VERSION = "2.0.0"

CpuOption = Annotated[str, typer.Option("--cpu", help="Cores of a session: 0.5, 1 or 2.")]
MemoryOption = Annotated[str, typer.Option("--memory", help="Memory of a session: 1Gi, 2Gi or 4Gi, to fit the cores.")]
ProtocolOption = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        metavar="NAME[=VERSION]",
        help=f"A protocol it serves, for example responses or invocations={PROTOCOL_VERSION}; repeatable.  "
        "[default: responses]",
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME=VALUE", help="An environment variable; repeatable."),
]
EnvFileOption = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="A .env file of environment variables; --env goes before. Names that the cloud reserves are left out.",
    ),
]
IdleOption = Annotated[
    timedelta | None,
    typer.Option(
        "--idle-timeout",
        parser=parse_span,
        metavar="SPAN",
        help="How long an idle session's compute is kept; else 15m.",
    ),
]
DescriptionOption = Annotated[str | None, typer.Option("--description", help="A description for people.")]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="NAME=VALUE", help="A label, for example a commit; repeatable."),
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait until it is active; exit code 3 if it fails, 4 on timeout.")
]


def protocols(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read ``NAME[=VERSION]``; without any it is Responses."""
    named = (pair.partition("=") for pair in pairs or ["responses"])
    return {name: version or PROTOCOL_VERSION for name, _, version in named}


def pairs_of(option: str, pairs: Sequence[str] | None) -> dict[str, str]:
    """Read ``NAME=VALUE``. Raises UsageError, without the value, for it may be a secret."""
    found: dict[str, str] = {}
    for pair in pairs or ():
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"{option} {name!r}: a name without a value: write {option} NAME=VALUE")
        if name in found:
            raise UsageError(f"{option} {name!r} is given twice: give it once")
        found[name] = value
    return found


def environment(file: Path | None, pairs: Sequence[str] | None) -> dict[str, str]:
    """Read the variables of a .env file, and those given one by one, which go before. Raises UsageError.

    Such files hold the project's own variables, too: what the cloud reserves is left out, and named on stderr.
    """
    from foundry_rollouts.foundry.definition import is_reserved

    found = _of_file(file) if file else {}
    if left_out := [name for name in found if is_reserved(name)]:
        say(f"left out of {file}, for the cloud reserves them: {', '.join(left_out)}", err=True)
    return {name: value for name, value in found.items() if name not in left_out} | pairs_of("--env", pairs)


def _of_file(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"--env-file {file}: it is no UTF-8 text, {error.reason}") from None
    except OSError as error:
        raise UsageError(f"--env-file {file}: {error.strerror}") from None
    if wrong := next((each.original.line for each in parse_stream(io.StringIO(text)) if each.error), None):
        raise UsageError(f"--env-file {file}:{wrong}: this is no NAME=VALUE")
    read = dotenv_values(stream=io.StringIO(text))
    if empty := next((name for name, value in read.items() if value is None), None):
        raise UsageError(f"--env-file {file}: {empty} has no value: write {empty}=VALUE, or leave it out")
    return {name: value for name, value in read.items() if value is not None}


def labels(description: str | None, metadata: Sequence[str] | None) -> "Labels":
    from foundry_rollouts.foundry.definition import Labels

    return Labels(description, pairs_of("--metadata", metadata))


def words_of(entry_point: str) -> tuple[str, ...]:
    """Split an entry point as a shell would. Raises UsageError."""
    try:
        return tuple(shlex.split(entry_point))
    except ValueError as error:
        raise UsageError(f"--entry-point {entry_point!r}: {error}: write for example 'python main.py'") from None
