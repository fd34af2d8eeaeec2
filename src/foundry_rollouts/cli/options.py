"""Options that several commands share."""

from datetime import timedelta
from typing import Annotated

import typer

DEFAULT_SERVER = "http://127.0.0.1:8080"


def parse_span(text: str) -> timedelta:
    """Return the span that a text such as ``30m`` names."""
    from foundry_rollouts.policies.units import parse_positive_duration

    try:
        return parse_positive_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def user() -> str | None:
    """Return who runs this, as the system knows them; None when it does not."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


ServerOption = Annotated[
    str, typer.Option("--server", envvar="FOUNDRY_ROLLOUTS_SERVER", help="The address of the foundry-rollouts service.")
]
AskedServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="FOUNDRY_ROLLOUTS_SERVER",
        help="The address of the foundry-rollouts service; without it, it is not asked.",
    ),
]
AuthorOption = Annotated[str | None, typer.Option("--author", help="Who asks, for the history; else the user here.")]
RolloutArgument = Annotated[
    str | None, typer.Argument(metavar="[ROLLOUT]", help="The rollout's id; or name its agent with --agent.")
]
AgentOption = Annotated[str | None, typer.Option("--agent", help="The current rollout of this agent, else its newest.")]
VersionOption = Annotated[
    str | None, typer.Option("--version", help="With --agent: the rollout of this version; wait until there is one.")
]
TimeoutOption = Annotated[
    timedelta | None,
    typer.Option("--timeout", parser=parse_span, metavar="SPAN", help="The longest wait, for example 30m."),
]
