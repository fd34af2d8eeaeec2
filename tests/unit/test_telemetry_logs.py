"""One form for every log line, and no secret in any."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from foundry_rollouts.errors import UsageError
from foundry_rollouts.telemetry import LogFormat, configure_logging
from foundry_rollouts.telemetry.logs import TALKATIVE, redact
from foundry_rollouts.untrusted import REDACTED
from plain_logs import log_plainly


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Logging belongs to the whole process: put it back."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, {name: logging.getLogger(name).level for name in TALKATIVE})
    yield
    root.handlers[:], levels = before[0], before[2]
    root.setLevel(before[1])
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    log_plainly()


def written_by(monkeypatch: pytest.MonkeyPatch, form: LogFormat, level: str = "INFO") -> io.StringIO:
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    configure_logging(form, level)
    return stderr


def lines(stderr: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_have_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = written_by(monkeypatch, "json")

    structlog.get_logger("ours").info("rollout.advanced", agent="support-agent", weight=50)
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)

    ours, theirs = lines(stderr)
    assert (ours["event"], ours["agent"], ours["weight"]) == ("rollout.advanced", "support-agent", 50)
    assert theirs["event"] == "Started server process [7]"
    assert {"event", "level", "logger", "timestamp"} <= ours.keys() & theirs.keys()


def test_context_reaches_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = written_by(monkeypatch, "json")

    with structlog.contextvars.bound_contextvars(agent="support-agent"):
        logging.getLogger("library").warning("slow")

    assert lines(stderr)[0]["agent"] == "support-agent"


@pytest.mark.parametrize("talkative", TALKATIVE)
def test_loggers_that_say_too_much_are_heard_from_warning_on(monkeypatch: pytest.MonkeyPatch, talkative: str) -> None:
    stderr = written_by(monkeypatch, "json", "DEBUG")

    logging.getLogger(talkative).info("HTTP Request: GET https://host/?sig=abc")
    logging.getLogger(talkative).warning("trouble")

    assert [line["event"] for line in lines(stderr)] == ["trouble"]


def test_a_level_leaves_out_what_is_below(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = written_by(monkeypatch, "json", "warning")

    structlog.get_logger("ours").info("source.silent")
    structlog.get_logger("ours").warning("source.silent")

    assert [line["level"] for line in lines(stderr)] == ["warning"]


def test_a_second_call_replaces_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    written_by(monkeypatch, "console")
    stderr = written_by(monkeypatch, "json")

    structlog.get_logger("ours").info("once")

    assert len(lines(stderr)) == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_trace_shows_no_local_variable_and_no_token(monkeypatch: pytest.MonkeyPatch, form: LogFormat) -> None:
    stderr = written_by(monkeypatch, form)

    def refused() -> None:
        hidden = "local-" + "treasure"
        raise ValueError(f"refused: Bearer {'abc' * 5} {len(hidden)}")

    try:
        refused()
    except ValueError:
        structlog.get_logger("ours").exception("call.failed")

    text = stderr.getvalue()
    assert "refused" in text
    assert REDACTED in text
    assert "local-treasure" not in text
    assert "abcabc" not in text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Authorization: Bearer abcdefgh.ijkl", f"Authorization: Bearer {REDACTED}"),
        ("GET https://host/blob?se=1&sig=a%2Fb&sp=r", f"GET https://host/blob?se=1&sig={REDACTED}&sp=r"),
        ("postgresql://me:hunter2@db/history", f"postgresql://me:{REDACTED}@db/history"),
        ("got eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl back", f"got {REDACTED} back"),
        ("canary 14 of 120 failed (HTTP 500)", "canary 14 of 120 failed (HTTP 500)"),
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(said: str, shown: str) -> None:
    line = redact(None, "info", {"event": said, "deep": {"list": [said]}})

    assert line == {"event": shown, "deep": {"list": [shown]}}


@pytest.mark.parametrize("name", ["authorization", "password", "client_secret", "access_token", "api_key", "Cookie"])
def test_what_is_named_like_a_secret_is_blotted_out(name: str) -> None:
    assert redact(None, "info", {name: "anything", "tokens": 12}) == {name: REDACTED, "tokens": 12}


def test_a_format_or_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="use console or json"):
        configure_logging("xml")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="use debug, info"):
        configure_logging("json", "loud")
