"""A question before something is gone for good."""

import sys

import typer

from foundry_rollouts.errors import RolloutsError, UsageError


def confirm(deed: str, *, yes: bool) -> None:
    """Ask whether to do ``deed``, unless that is answered. Raises UsageError where nobody can be asked."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{deed} cannot be undone, and there is no terminal to confirm it on: add --yes")
    if not typer.confirm(f"{deed}: this cannot be undone. Continue?", err=True):
        raise RolloutsError("nothing was deleted: it was not confirmed")
