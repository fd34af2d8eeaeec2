"""Calls, read out of the lines of one session."""

from datetime import timedelta

import pytest

from foundry_rollouts.core.measurement import Sample
from foundry_rollouts.ports import LogLine
from foundry_rollouts.signals.loglines import CallReader

HOSTED = "2026-03-02 12:00:01 INFO azure.ai.agentserver: Inbound POST /responses completed with status {} in {}ms"
ACCESS = '127.0.0.1:40212 - "POST /responses HTTP/1.1" {}'


def read(*lines: str, stream: str = "stderr") -> list[Sample]:
    reader = CallReader()
    samples = [sample for line in lines for sample in reader.read(LogLine(None, stream, line))]
    return [*samples, *reader.end()]


def test_the_hosting_library_tells_status_and_time() -> None:
    assert read(HOSTED.format(200, 12.5)) == [Sample(latency=timedelta(milliseconds=12.5))]
    assert read(HOSTED.format(503, 3)) == [Sample(cause="HTTP 503", latency=timedelta(milliseconds=3))]


@pytest.mark.parametrize(
    "line",
    [
        ACCESS.format(500),
        '127.0.0.1 - - [02/Mar/2026 12:00:00] "POST /invocations?agent_session_id=a HTTP/1.0" 500 -',
        '[2026-03-02 12:00:00] 127.0.0.1:1 "POST /responses HTTP/2" 500 17 "-" "python-httpx"',
    ],
)
def test_access_lines_of_the_usual_servers_end_a_call(line: str) -> None:
    assert read(line) == [Sample(cause="HTTP 500")]


def test_a_call_that_both_tell_of_counts_once() -> None:
    both = (HOSTED.format(200, 1), ACCESS.format(200))
    assert len(read(*both, *both)) == 2


def test_what_the_caller_did_wrong_is_no_failure() -> None:
    assert read(ACCESS.format(404)) == [Sample()]


def test_a_call_with_many_error_lines_counts_once() -> None:
    lines = ["ERROR agent: no answer", "Traceback (most recent call last):", "CRITICAL: gone"]
    assert read(*lines, ACCESS.format(500), ACCESS.format(200)) == [
        Sample(cause="HTTP 500", has_log_error=True),
        Sample(),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "GET /readiness 200",
        '"GET /responses/1 HTTP/1.1" 500',
        "the word TERROR is no level",
        "an answer about errors",
        "x" * 80 + " ERROR far to the right",
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert read(line, ACCESS.format(200)) == [Sample()]


def test_the_clouds_own_words_about_a_session_are_no_lines_of_the_agent() -> None:
    assert read("ERROR the session is starting", ACCESS.format(500), stream="status") == []


def test_a_session_that_ends_on_an_error_failed_a_call() -> None:
    assert read("Traceback (most recent call last):") == [Sample(cause="session ended on an error", has_log_error=True)]


def test_a_time_that_cannot_be_is_left_out() -> None:
    assert read(HOSTED.format(200, "1.2.3")) == [Sample()]
    assert read(HOSTED.format(200, "9" * 400)) == [Sample()]
