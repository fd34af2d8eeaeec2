"""``foundry-rollouts demo``: the main job, on the local Foundry."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from foundry_rollouts.cli.commands import waits

#: Where a demonstration that is kept lives.
KEPT = Path(".demo")


@waits
async def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running and print the address.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End what an earlier --keep left running.")] = False,
) -> None:
    """Run the demo: a healthy version is promoted 10, 50, 100, and a faulty one is rolled back.

    Needs no cloud account and no server: the local Foundry, the controller and some users are started here.
    """
    from foundry_rollouts.cli.demo.stage import end_kept
    from foundry_rollouts.cli.emulator import require_emulator

    if stop:
        typer.echo(f"ended {end_kept(KEPT)} processes")
        return
    require_emulator()
    with tempfile.TemporaryDirectory(prefix="foundry-rollouts-") as scratch:
        await _play(_cleared(KEPT) if keep else Path(scratch), keep=keep)


async def _play(folder: Path, *, keep: bool) -> None:
    """Tell the story in ``folder``; raise Exit(1) when it ends otherwise than it has to."""
    import httpx
    from rich.console import Console

    from foundry_rollouts.cli.demo.ending import last_lines
    from foundry_rollouts.cli.demo.stage import Stage
    from foundry_rollouts.cli.demo.story import AGENT, Story

    console, stage, is_as_told = Console(), Stage(folder), False
    try:
        async with httpx.AsyncClient() as http:
            story = Story(stage, console, http, time.monotonic())
            is_as_told = await story.tell()
            await story.show_histories()
    finally:
        if not (keep and is_as_told):
            await stage.stop()
    if not is_as_told:
        typer.echo("\nA rollout ended otherwise than it had to.")
        raise typer.Exit(1)
    typer.echo("\n" + "\n".join(last_lines(stage.server if keep else None, AGENT)))


def _cleared(folder: Path) -> Path:
    """End an earlier demonstration and begin with an empty folder."""
    from foundry_rollouts.cli.demo.stage import end_kept

    folder = folder.absolute()
    end_kept(folder)
    folder.mkdir(exist_ok=True)
    for name in ("history.db", "history.db-wal", "history.db-shm"):
        (folder / name).unlink(missing_ok=True)
    return folder
