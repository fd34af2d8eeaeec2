"""The picture of a rollout on a terminal, and tables there."""

import os
import pty
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
from foundry_rollouts.cli.live import follow_live, view_of
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


def drawn(**but: object) -> str:
    console = Console(file=StringIO(), width=100, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(view_of({**ROLLOUT, **but}, EVENTS))
    return captured.get()


def test_the_picture_shows_where_it_stands_and_both_weights() -> None:
    lines = [line.rstrip() for line in drawn().splitlines()]
    assert lines[:6] == [
        "support-agent: version 2, progressing",
        "step 2 of 3, policy support",
        f"stable      1 {'█' * 20} 50%",
        f"canary      2 {'█' * 20} 50%",
        "about 40 more calls are needed",
        "waiting for more calls",
    ]


def test_the_picture_keeps_the_last_events() -> None:
    picture = drawn(waiting_for=None)
    assert "waiting for" not in picture
    assert "event 8" in picture
    assert "12:00:19" in picture
    assert "event 7" not in picture


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
