"""The live view of one rollout on a terminal."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from foundry_rollouts.cli.api import Json, OpsApi
from foundry_rollouts.cli.follow import follow
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.untrusted import visible

LOOK_SECONDS = 1.0
OLD_SECONDS = 5.0  #: Numbers that are older are said to be.
BAR_CELLS = 40
METER_CELLS = 20


def is_lively() -> bool:
    """Whether the terminal can draw a picture anew; one that cannot gets lines."""
    return os.environ.get("TERM", "") not in {"", "dumb", "unknown"}


@dataclass(slots=True)
class Picture:
    """What is known of the rollout, drawn to fit the terminal: what matters first, events as far as there is room."""

    rollout: Json
    events: list[Json] = field(default_factory=list)
    read_at: float = field(default_factory=time.monotonic)
    is_over: bool = False

    def read(self, rollout: Json) -> None:
        """Take note of the rollout as it is now."""
        self.rollout, self.read_at = rollout, time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it; the last picture, which stays, has every event."""
        state = console.render_lines(Group(*self._state()), options, pad=False)
        events = console.render_lines(_table(self.events), options, pad=False) if self.events else []
        if not self.is_over:
            room = console.size.height - len(state) - 3
            events = events[max(0, len(events) - room) :] if room > 0 else []
        below = [] if self.is_over else console.render_lines(self._footer(), options, pad=False)
        for line in [*state, [], *events, *below]:
            yield from line
            yield Segment.line()

    def _state(self) -> Iterator[RenderableType]:
        now = self.rollout
        phase = str(now["phase"]).replace("_", " ")
        yield Text(f"{visible(now['agent'])}: version {now['canary']}, {phase}", style="bold")
        yield Text(f"step {now['step']} of {now['steps']}, policy {now['policy']}")
        yield from _bars(now)
        yield Text(visible(str(now["because"])))
        if now.get("waiting_for"):
            yield Text(f"waiting for {visible(str(now['waiting_for']))}", style="yellow")
        yield from _remaining(now)
        yield from _meters(now.get("progress") or {})
        for each in now.get("open_commands") or ():
            yield Text(visible(f"{each['author']} asked to {each['verb']}: the next tick does it"), style="cyan")

    def _footer(self) -> Text:
        age = time.monotonic() - self.read_at
        if age > OLD_SECONDS:
            return Text(f"no answer for {age:.0f} s: these numbers are old", style="bold red")
        return Text("Ctrl-C ends this view, never the rollout", style="dim")


async def follow_live(api: OpsApi, rollout: str) -> Json:
    """Show the rollout, its weights and its last events until it has ended; return it as it ended."""
    picture = Picture(await api.rollout(rollout))
    with Live(picture, console=Console(), refresh_per_second=4) as live:
        looking = asyncio.create_task(_look(api, rollout, picture))
        try:
            ended = await follow(api, rollout, picture.events.append)
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
            picture.is_over = True
            live.vertical_overflow = "visible"
        picture.read(ended)
        return ended


async def _look(api: OpsApi, rollout: str, picture: Picture) -> None:
    while True:
        # ``follow`` tells of an outage and decides how long to bear it; the picture says how old it is.
        with contextlib.suppress(RolloutsError):
            picture.read(await api.rollout(rollout))
        await asyncio.sleep(LOOK_SECONDS)


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


def _remaining(rollout: Json) -> Iterator[Text]:
    left = rollout.get("remaining")
    if not left:
        return
    parts = [f"this step lasts {_span(left['step_seconds'])} more at least"] if left["step_seconds"] else []
    if left["limit_seconds"] is not None:
        parts.append(f"{_span(left['limit_seconds'])} at most without proof")
    parts.append(f"deadline in {_span(left['deadline_seconds'])}")
    yield Text(", ".join(parts), style="dim")


def _meters(progress: Json) -> Iterator[RenderableType]:
    """Draw how far harm and safety are proved, and what each gate counted."""
    if not progress or progress["harm_log10"] is None:
        return
    yield _meter("harm", progress["harm_log10"], progress["harm_enough_log10"], "red")
    if progress["safe_log10"] is not None:
        yield _meter("proof", progress["safe_log10"], progress["safe_enough_log10"], "green")
    for gate in progress["gates"]:
        counts = (
            f"canary {gate['canary_failures']} of {gate['canary_calls']},"
            f" stable {gate['stable_failures']} of {gate['stable_calls']}"
        )
        yield Text(visible(f"{gate['gate']:<14} {gate['verdict']:<13} {counts}"), style="dim")


def _meter(name: str, value: float, enough: float, style: str) -> Text:
    full = METER_CELLS if enough <= 0 else round(max(0.0, min(1.0, value / enough)) * METER_CELLS)
    figures = f" {value:.1f} of {enough:.1f} powers of ten"
    return Text.assemble((f"{name:<14} ", "dim"), ("█" * full, style), ("░" * (METER_CELLS - full), "dim"), figures)


def _span(seconds: float) -> str:
    from datetime import timedelta

    from foundry_rollouts.policies.units import span_text

    return span_text(timedelta(seconds=max(1, round(seconds))))


def _table(events: list[Json]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for event in events:
        kind = Text(str(event["kind"]), style="bold")
        table.add_row(Text(str(event["at"])[11:19], style="dim"), kind, Text(visible(str(event["because"]))))
    return table
