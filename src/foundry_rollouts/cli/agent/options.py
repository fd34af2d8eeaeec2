"""What a version is made of, as options say it."""

import shlex
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.options import parse_span
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


def labels(description: str | None, metadata: Sequence[str] | None) -> "Labels":
    from foundry_rollouts.foundry.definition import Labels

    return Labels(description, pairs_of("--metadata", metadata))


def words_of(entry_point: str) -> tuple[str, ...]:
    """Split an entry point as a shell would. Raises UsageError."""
    try:
        return tuple(shlex.split(entry_point))
    except ValueError as error:
        raise UsageError(f"--entry-point {entry_point!r}: {error}: write for example 'python main.py'") from None
