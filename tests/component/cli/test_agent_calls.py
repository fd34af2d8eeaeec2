"""Calling agents, reading what they write, keeping house with sessions."""

import io
import json
import sys
from typing import Any

import pytest

from component.cli.engineer import Engineer
from patience import PATIENCE


def sessions(engineer: Engineer) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = engineer.told("sessions", "list", "a")
    return listed


def test_the_answer_goes_to_stdout_and_who_gave_it_to_stderr(two_versions: Engineer) -> None:
    done = two_versions.well("invoke", "a", "hello")
    assert done.out == "hello\n"
    assert done.err.startswith("version 1, session ")


def test_a_version_is_asked_in_a_session_that_is_gone_afterwards(two_versions: Engineer) -> None:
    done = two_versions.well("invoke", "a", "hello", "--version", "2")
    assert (done.out, done.err.startswith("version 2, session ")) == ("from the second\n", True)
    assert sessions(two_versions) == []


def test_a_version_and_a_session_of_ones_own_make_a_session_that_stays(two_versions: Engineer) -> None:
    words = ("invoke", "a", "hello", "--version", "2", "--session", "check-4711")
    assert two_versions.well(*words).out == two_versions.well(*words).out == "from the second\n"
    assert [(each["id"], each["version"]) for each in sessions(two_versions)] == [("check-4711", "2")]
    assert two_versions.well("invoke", "a", "hello", "--session", "check-4711").out == "from the second\n"


def test_an_answer_streams(two_versions: Engineer) -> None:
    done = two_versions.well("invoke", "a", "hello", "--stream", "--version", "2")
    assert (done.out, done.err.startswith("version 2, session ")) == ("from the second\n", True)


def test_invocations_take_json_whole_and_streamed(two_versions: Engineer) -> None:
    assert two_versions.well("invoke", "a", '{"order": 1}', "--invocations").out == '{"order": 1}\n'
    lines = two_versions.well("invoke", "a", '{"stream": true}', "--invocations", "--stream").lines
    assert [json.loads(line)["type"] for line in lines] == ["token", "done"]


def test_a_dash_reads_standard_input(two_versions: Engineer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("grüß dich".encode()), "utf-8"))
    assert two_versions.well("invoke", "a", "-").out == "grüß dich\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give INPUT to ask"),
        (["hello", "--poll", "x"], "give INPUT to ask"),
        (["hello", "--invocations"], "INPUT is no JSON"),
        (['"hello"', "--invocations"], "INPUT is a JSON string"),
        (["hello", "--stream", "--patient"], "a stream is asked for once"),
        (["hello", "--user", "no body"], "user 'no body'"),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(engineer: Engineer, words: list[str], says: str) -> None:
    done = engineer.run("invoke", "a", *words)
    assert (done.code, len(done.errors), says in done.err) == (2, 1, True)


def test_an_agent_that_fails_is_an_error_that_says_where_to_look(engineer: Engineer) -> None:
    engineer.an_image("a", "emulator://echo?error_rate=1")
    for more in ([], ["--stream"]):
        done = engineer.run("invoke", "a", "hello", *more)
        assert done.code == 1
        assert "responses.create: HTTP 500 server_error: An internal server error occurred." in done.err
        assert done.err.endswith(": the agent failed: see 'foundry-rollouts agent logs'\n")


def test_no_answer_in_time_is_exit_4(engineer: Engineer) -> None:
    engineer.an_image("a", "emulator://echo?latency_ms=5000")
    done = engineer.run("invoke", "a", "hello", "--timeout", "300ms")
    assert (done.code, done.out) == (4, "")
    assert done.err.endswith(": wait longer with --timeout\n")


def test_patience_asks_again_while_a_sandbox_wakes(engineer: Engineer) -> None:
    engineer.an_image("a")
    fault = {"operation": "responses.create", "status": 502, "code": "SandboxIdle", "message": "waking", "times": 1}
    engineer.control.post("/faults", json=fault).raise_for_status()
    done = engineer.well("invoke", "a", "hello", "--patient")
    assert done.out == "hello\n"
    assert "HTTP 502 SandboxIdle: waking" in done.errors[0]
    assert "; trying again in 1." in done.errors[0]
    engineer.control.post("/faults", json=fault).raise_for_status()
    assert engineer.run("invoke", "a", "hello").err.endswith(": the sandbox was starting or slow: run it again\n")


def test_sessions_are_opened_shown_stopped_and_deleted(two_versions: Engineer) -> None:
    opened = two_versions.told("sessions", "create", "a", "--version", "2", "--id", "check-4711")
    assert (opened["id"], opened["version"]) == ("check-4711", "2")
    two_versions.well("sessions", "create", "a")
    assert [each["id"] for each in two_versions.told("sessions", "list", "a", "--version", "2")] == ["check-4711"]
    assert len(two_versions.told("sessions", "list", "a", "--limit", "1")) == 1
    assert two_versions.well("sessions", "stop", "a", "check-4711").out == "session check-4711 is stopped\n"
    assert two_versions.told("sessions", "show", "a", "check-4711")["status"] == "idle"
    refused = two_versions.run("sessions", "delete", "a", "check-4711")
    assert (refused.code, refused.err.endswith("add --yes\n")) == (2, True)
    two_versions.well("sessions", "delete", "a", "check-4711", "--yes")
    assert two_versions.run("sessions", "show", "a", "check-4711").code == 1


def test_logs_of_live_sessions_are_told_in_the_order_of_time(two_versions: Engineer) -> None:
    for session, version in (("check-one", "1"), ("check-two", "2"), ("check-one", "1")):
        two_versions.well("invoke", "a", "hello", "--session", session, "--version", version)
    done = two_versions.well("logs", "a")
    calls = [line.split()[1] for line in done.lines if "Inbound POST /responses" in line]
    assert calls == ["1/heck-one", "2/heck-two", "1/heck-one"]
    times = [line.split()[0] for line in done.lines]
    assert times == sorted(times)
    assert "Successfully connected to container" not in done.out
    assert "Successfully connected to container" in done.err


def test_logs_of_one_session_do_not_name_it_and_json_tells_all(two_versions: Engineer) -> None:
    two_versions.well("invoke", "a", "hello", "--session", "check-one", "--version", "1")
    two_versions.well("invoke", "a", "hello", "--session", "check-two", "--version", "2")
    assert "check" not in two_versions.well("logs", "a", "--session", "check-one").out
    lines = [json.loads(line) for line in two_versions.well("logs", "a", "--version", "2", "--output", "json").lines]
    assert {line["session"] for line in lines} == {"check-two"}
    assert {"status", "stderr"} == {line["stream"] for line in lines}
    other = two_versions.run("logs", "a", "--session", "check-one", "--version", "2")
    assert (other.code, "is on version 1" in other.err) == (2, True)


def test_an_agent_without_live_sessions_has_no_logs_to_tell(engineer: Engineer) -> None:
    engineer.an_image("a")
    done = engineer.well("logs", "a")
    assert (done.out, done.err) == ("", "a has no such live session\n")
    unknown = engineer.run("logs", "nobody", "--follow")
    assert (unknown.code, "not_found" in unknown.err) == (1, True)


def test_following_a_session_ends_with_it(two_versions: Engineer) -> None:
    missing = two_versions.run("logs", "a", "--follow", "--session", "check-none")
    assert (missing.code, "agent sessions list" in missing.err) == (1, True)
    two_versions.well("invoke", "a", "hello", "--session", "check-one", "--version", "1")
    with two_versions.begun("logs", "a", "--follow", "--session", "check-one") as tail:
        assert "AgentServerHost starting" in tail.stdout.readline()
        two_versions.well("sessions", "delete", "a", "check-one", "--yes")
        _, said = tail.communicate(timeout=PATIENCE)
    assert (tail.returncode, said.splitlines()[-1]) == (0, "session check-one is gone")


@pytest.mark.parametrize("more", [[], ["--session", "check-one"]])
def test_a_reader_that_has_seen_enough_ends_it_without_a_complaint(two_versions: Engineer, more: list[str]) -> None:
    two_versions.well("invoke", "a", "hello", "--session", "check-one", "--version", "1")
    with two_versions.begun("logs", "a", "--follow", *more) as tail:
        assert "AgentServerHost starting" in tail.stdout.readline()
        tail.stdout.close()
        two_versions.well("invoke", "a", "hello", "--session", "check-one")
        assert tail.wait(60) == 0
        assert "error" not in tail.stderr.read()
