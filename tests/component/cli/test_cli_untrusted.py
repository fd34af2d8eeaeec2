"""What others wrote reaches a terminal written out, in every form of output, and errors repeat no secret."""

import json

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from foundry_rollouts.cli.agent.tail import Lines
from foundry_rollouts.cli.errors import report
from foundry_rollouts.cli.follow import line_of
from foundry_rollouts.cli.live import Picture
from foundry_rollouts.cli.output import Output, column, pass_on, say, show_item, show_items
from foundry_rollouts.errors import CloudError, Refusal, UsageError
from foundry_rollouts.foundry.refusals import refusal_of
from foundry_rollouts.ports import LogLine, SessionSeen

EVIL = "\x1b]0;pwned\x07\x1b[2Jall is well\x9b31m\u202e"
ITEM = {"name": EVIL, "weights": {EVIL: 10}, "protocols": [EVIL]}
COLUMNS = tuple(map(column, ITEM))


def is_harmless(text: str) -> bool:
    return not any(each in text for each in ("\x1b", "\x07", "\x9b", "\u202e"))


@pytest.mark.parametrize("output", Output)
def test_listings_are_written_out_in_every_form(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    show_items([ITEM], COLUMNS, output, "none")
    show_item(ITEM, COLUMNS, output)
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert "pwned" in shown


def test_json_keeps_what_it_means_and_yaml_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    show_item(ITEM, COLUMNS, Output.JSON)
    assert json.loads(capsys.readouterr().out) == ITEM
    show_item(ITEM, COLUMNS, Output.YAML)
    assert "pwned" in YAML(typ="safe").load(capsys.readouterr().out)["name"]


def test_lines_events_and_the_live_view_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"at": "2026-01-01T00:00:00Z", "kind": "rollout.held", "because": EVIL}
    rollout = {"agent": EVIL, "canary": "2", "phase": "paused", "step": 1, "steps": 3, "policy": "p", "because": EVIL}
    console = Console(width=120)
    asked = [{"author": EVIL, "verb": "abort"}]
    console.print(Picture(rollout | {"weights": {"1": 100}, "waiting_for": EVIL, "open_commands": asked}, [event]))
    say(EVIL)
    say(line_of(event))
    session = SessionSeen("session-1", "1", None, "active")  # type: ignore[arg-type]
    for is_json in (True, False):
        Lines(is_json=is_json, is_one=True, oldest=None).show(session, LogLine(None, "stdout", EVIL + "\r\nforged"))
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert "\nforged" not in shown


def test_an_answer_goes_into_a_pipe_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    pass_on(EVIL)
    assert capsys.readouterr().out == EVIL + "\n"


@pytest.mark.parametrize("is_verbose", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        UsageError(f"no database at postgresql://h/db?password=hunter2secret {EVIL}"),
        CloudError(
            "agents.get", refusal_of(500, {}, b'{"error": {"code": "\\u001b[2J", "message": "sig=hunter2secret"}}')
        ),
        CloudError("agents.get", Refusal(500, "x", "Authorization: Bearer hunter2secretAAAA")),
        ValueError("could not connect to postgresql://u:hunter2secret@h/db"),
    ],
)
def test_errors_repeat_no_secret_and_obey_nobody(
    error: Exception, is_verbose: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    report(error, is_verbose=is_verbose)
    shown = capsys.readouterr().err
    assert "hunter2secret" not in shown
    assert is_harmless(shown)
