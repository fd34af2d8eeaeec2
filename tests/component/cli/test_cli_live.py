"""The picture of a rollout on a terminal, and tables there."""

import asyncio
import os
import pty
import time
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from builders import NOON, a_rollout
from command_line import begin
from component.cli.conftest import Service
from fakes import stand
from foundry_rollouts.cli.api import OpsApi
from foundry_rollouts.cli.live import Picture, follow_live
from foundry_rollouts.cli.output import Column, Output, column, show_items
from foundry_rollouts.core.model.rollout import Phase

ROLLOUT = {
    "id": "r-1",
    "agent": "support-agent",
    "canary": "2",
    "stable": "1",
    "phase": "progressing",
    "step": 2,
    "steps": 3,
    "policy": "support",
    "weights": {"1": 50, "2": 50},
    "because": "about 40 more calls are needed",
    "waiting_for": "more calls",
}
EVENTS = [
    {"at": f"2026-03-02T12:00:{second:02}Z", "kind": "rollout.advanced", "because": f"event {second}"}
    for second in range(20)
]


PROGRESS = {
    "harm_log10": 0.5,
    "harm_enough_log10": 2.0,
    "safe_log10": 1.3,
    "safe_enough_log10": 1.3,
    "gates": [
        {"gate": "error-rate", "verdict": "pass", "canary_calls": 120, "canary_failures": 1, "stable_calls": 130,
         "stable_failures": 2},
    ],
}  # fmt: skip


def drawn(height: int = 50, *, is_over: bool = False, age: float = 0.0, **but: object) -> list[str]:
    console = Console(file=StringIO(), width=100, height=height, force_terminal=True, color_system=None)
    picture = Picture({**ROLLOUT, **but}, list(EVENTS), time.monotonic() - age, is_over)
    with console.capture() as captured:
        console.print(picture)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_picture_shows_where_it_stands_and_both_weights() -> None:
    assert drawn()[:7] == [
        "support-agent: version 2, progressing",
        "step 2 of 3, policy support",
        f"stable      1 {'█' * 20} 50%",
        f"canary      2 {'█' * 20} 50%",
        "about 40 more calls are needed",
        "waiting for more calls",
        "",
    ]
    assert drawn()[-1] == "Ctrl-C ends this view, never the rollout"


def test_the_picture_shows_how_far_the_proofs_are_and_how_long_the_step_lasts() -> None:
    remaining = {"step_seconds": 40.0, "limit_seconds": 540.0, "deadline_seconds": 7200.0}
    asked = [{"author": "kim", "verb": "pause"}]
    shown = drawn(waiting_for=None, progress=PROGRESS, remaining=remaining, open_commands=asked)
    assert shown[5:10] == [
        "this step lasts 40s more at least, 9m at most without proof, deadline in 2h",
        f"harm           {'█' * 5}{'░' * 15} 0.5 of 2.0 powers of ten",
        f"proof          {'█' * 20} 1.3 of 1.3 powers of ten",
        "error-rate     pass          canary 1 of 120, stable 2 of 130",
        "kim asked to pause: the next tick does it",
    ]


def test_a_low_terminal_keeps_the_state_and_the_last_events() -> None:
    shown = drawn(height=14)
    assert len(shown) <= 14
    assert shown[0] == "support-agent: version 2, progressing"
    assert "event 19" in shown[-2]
    assert not any("event 5" in line for line in shown)
    assert len([line for line in drawn(height=14, is_over=True) if "event" in line]) == len(EVENTS)
    assert "support-agent" in drawn(height=3)[0]


def test_numbers_that_are_old_are_said_to_be() -> None:
    assert drawn(age=12)[-1] == "no answer for 12 s: these numbers are old"


def test_a_table_in_a_pipe_keeps_each_item_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (column("name"), Column("length", lambda item: len(item["name"])))
    show_items([{"name": "a\nb"}, {"name": ""}], columns, Output.TABLE, "nothing")
    assert capsys.readouterr().out.splitlines() == ["NAME  LENGTH", "a b   3", "      0"]


async def test_the_live_view_ends_with_the_rollout_and_its_last_sentence(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    rollout = await stand(service.store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))
    await stand(service.store, replace(rollout, phase=Phase.PROMOTED, ended_at=NOON, because="proved at 100%"))
    async with OpsApi.at(service.server) as api:
        ended = await follow_live(api, "r-1")
    assert ended["phase"] == "promoted"
    assert "support-agent: version 2, promoted" in capsys.readouterr().out


@pytest.mark.parametrize(("no_color", "has_colour"), [("", True), ("1", False)])
async def test_a_terminal_gets_styles_unless_they_are_switched_off(
    tmp_path: Path, no_color: str, has_colour: bool
) -> None:
    (tmp_path / "p.yaml").write_text('name: a\nagents: ["*"]\nsteps: [{weight: 100}]\n')
    ours, theirs = pty.openpty()
    process = await begin(
        "policy", "show", "--policies", "p.yaml", folder=tmp_path, stdout=theirs, NO_COLOR=no_color, TERM="xterm"
    )
    assert await process.wait() == 0
    os.close(theirs)
    written = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "error-rate" in written
    assert ("\x1b[" in written) is has_colour


@pytest.mark.parametrize(("term", "is_drawn"), [("xterm", True), ("dumb", False)])
async def test_a_terminal_that_cannot_draw_gets_lines(
    service: Service, tmp_path: Path, term: str, is_drawn: bool
) -> None:
    rollout = await stand(service.store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))
    await stand(service.store, replace(rollout, phase=Phase.PROMOTED, ended_at=NOON, because="proved at 100%"))
    ours, theirs = pty.openpty()
    words = ("rollout", "watch", "r-1", "--server", service.server)
    process = await begin(*words, folder=tmp_path, stdout=theirs, TERM=term, COLUMNS="100")
    os.close(theirs)
    written = b""
    with suppress(OSError):  # which is how a terminal says that nobody is left
        while data := await asyncio.to_thread(os.read, ours, 65536):
            written += data
    os.close(ours)
    assert await process.wait() == 0
    assert (b"support-agent: version 2, promoted" in written) is is_drawn
    assert (b"\x1b[" in written) is is_drawn
    assert b"rollout.promoted" in written
