"""The live view of one rollout on a terminal."""

import asyncio
import contextlib
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from foundry_rollouts.cli.api import Json, OpsApi
from foundry_rollouts.cli.follow import follow
from foundry_rollouts.errors import UnavailableError
from foundry_rollouts.untrusted import visible

LOOK_SECONDS = 1.0
BAR_CELLS = 40
LAST_EVENTS = 12


async def follow_live(api: OpsApi, rollout: str) -> Json:
    """Show the rollout, its weights and its last events until it has ended; return it as it ended."""
    events: list[Json] = []
    now = await api.rollout(rollout)
    with Live(view_of(now, events), console=Console(), refresh_per_second=4) as live:
        looking = asyncio.create_task(_look(api, rollout, events, live))
        try:
            ended = await follow(api, rollout, events.append)
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
        live.update(view_of(ended, events))
        return ended


async def _look(api: OpsApi, rollout: str, events: Sequence[Json], live: Live) -> None:
    while True:
        # ``follow`` tells of an outage and decides how long to bear it; the screen stays as it was.
        with contextlib.suppress(UnavailableError):
            live.update(view_of(await api.rollout(rollout), events))
        await asyncio.sleep(LOOK_SECONDS)


def view_of(rollout: Json, events: Sequence[Json]) -> RenderableType:
    """Return the screen of a rollout: its state, its weights as bars, its last events."""
    title = f"{visible(rollout['agent'])}: version {rollout['canary']}, {str(rollout['phase']).replace('_', ' ')}"
    step = f"step {rollout['step']} of {rollout['steps']}, policy {rollout['policy']}"
    waiting = f"waiting for {rollout['waiting_for']}" if rollout.get("waiting_for") else ""
    lines = [Text(title, style="bold"), Text(step), *_bars(rollout), Text(visible(str(rollout["because"])))]
    if waiting:
        lines.append(Text(waiting, style="yellow"))
    return Group(*lines, Text(""), _table(events[-LAST_EVENTS:]))


def _bars(rollout: Json) -> list[Text]:
    return [
        Text.assemble(
            (f"{'canary' if version == rollout['canary'] else 'stable':<7}", "dim"),
            f"{version:>6} ",
            ("█" * round(share * BAR_CELLS / 100), "cyan" if version == rollout["canary"] else "green"),
            f" {share}%",
        )
        for version, share in sorted(rollout["weights"].items())
    ]


def _table(events: Sequence[Json]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for event in events:
        kind = Text(str(event["kind"]), style="bold")
        table.add_row(Text(str(event["at"])[11:19], style="dim"), kind, Text(visible(str(event["because"]))))
    return table
