"""Calls, read out of the lines of one session."""

from datetime import timedelta

import pytest

from foundry_rollouts.core.model.measurement import Sample
from foundry_rollouts.ports import LogLine
from foundry_rollouts.signals.loglines import CallReader

HOSTED = "2026-03-02 12:00:01 INFO azure.ai.agentserver: Inbound POST /responses completed with status {} in {}ms"
ENDED = "Inbound POST /responses completed with status {}"
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


@pytest.mark.parametrize("form", [ACCESS, "2026-03-02 12:00:01 WARNING azure.ai.agentserver: " + ENDED])
def test_what_the_caller_did_wrong_is_told_apart_and_what_is_no_word_about_the_version_is_left_out(form: str) -> None:
    assert read(form.format(404)) == [Sample(cause="HTTP 404")]
    assert [read(form.format(status)) for status in (401, 403, 429)] == [[], [], []]


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


LIBRARY = "2026-11-30 00:49:42,130 {} azure.ai.agentserver: "
STARTED = LIBRARY.format("INFO") + "Inbound POST /responses started"
WELL = LIBRARY.format("INFO") + "Inbound POST /responses completed with status 200 in 77.3ms"
BROKEN = LIBRARY.format("WARNING") + "Inbound POST /responses failed with status 500 in 2.9ms"
RAISED = LIBRARY.format("ERROR") + "Handler raised after response.created (response_id=caresp_{})"
TRACE = ("Traceback (most recent call last):", '  File "main.py", line 1, in respond', "RuntimeError: no")


def failures(*lines: str) -> tuple[int, int]:
    """Return calls, and how many of them failed."""
    samples = read(*lines)
    return len(samples), sum(sample.cause is not None for sample in samples)


@pytest.mark.parametrize(
    ("line", "status", "milliseconds"),
    [
        (BROKEN, 500, 2.9),
        ('127.0.0.1:59374 "POST /responses 1.1" 500 102 3038us', 500, None),
        ('[2026-11-30 00:00:00 +0000] [7] [INFO] 127.0.0.1:1 - - [30/Nov/2026] "POST /responses 2" 500 -', 500, None),
        ('10.0.0.1 - - [30/Nov/2026:00:00:00 +0000] "POST /responses HTTP/1.1" 502 141 "-" "httpx"', 502, None),
        ('INFO:     10.0.0.1:5 - "POST /invocations?agent_session_id=a HTTP/1.1" 500 Internal Server Error', 500, None),
        ("Request finished HTTP/1.1 POST http://localhost:8088/responses - 500 - application/json 12.5ms", 500, 12.5),
        (
            "      Request finished HTTP/2 POST http://localhost/responses application/json 51 - 503 0 - 45.1ms",
            503,
            45.1,
        ),
        ('{"Category":"Hosting","Message":"Request finished HTTP/1.1 POST http://a/responses - 500 - - 3ms"}', 500, 3),
    ],
)
def test_the_forms_in_which_servers_tell_of_a_call(line: str, status: int, milliseconds: float | None) -> None:
    span = timedelta(milliseconds=milliseconds) if milliseconds else None
    assert read(line) == [Sample(cause=f"HTTP {status}", latency=span)]


@pytest.mark.parametrize(
    "line",
    [
        LIBRARY.format("INFO") + "Inbound GET /responses/caresp_1 completed with status 500 in 1.0ms",
        LIBRARY.format("INFO") + "Inbound POST /responses/caresp_1/cancel completed with status 404 in 1.0ms",
        '"POST /responses/caresp_1/cancel HTTP/1.1" 404',
        '"POST /responses_of_others HTTP/1.1" 500',
        "Request finished HTTP/1.1 GET http://localhost:8088/readiness - 200 - - 1ms",
    ],
)
def test_what_asks_for_an_earlier_call_or_cancels_it_is_no_call(line: str) -> None:
    assert read(line) == []


def test_a_stream_whose_handler_raised_is_a_failed_call_though_its_status_was_sent() -> None:
    lines = (STARTED, RAISED.format("a1234567"), *TRACE, WELL)
    assert read(*lines) == [
        Sample("an error after HTTP 200", timedelta(milliseconds=77.3), has_log_error=True),
    ]
    assert failures(*lines, STARTED, WELL) == (2, 1)


def test_a_whole_answer_that_says_it_failed_is_a_failed_call() -> None:
    said = LIBRARY.format("INFO") + "Response caresp_a1234567 completed: status=failed output_count=0"
    assert failures(STARTED, RAISED.format("a1234567"), *TRACE, said, WELL, STARTED, WELL) == (2, 1)
    assert failures(STARTED, said, WELL) == (1, 1)


def test_calls_that_overlap_are_as_many_failures_as_there_were() -> None:
    first, second = RAISED.format("a1234567"), RAISED.format("b1234567")
    assert failures(STARTED, STARTED, STARTED, first, WELL, second, WELL, WELL) == (3, 2)


def test_an_error_that_the_agent_got_over_is_no_failure() -> None:
    (sample,) = read(STARTED, "2026-11-30 ERROR my.agent: a tool failed", *TRACE, WELL)
    assert (sample.cause, sample.has_log_error) == (None, True)


def test_an_exporter_that_cannot_reach_its_server_is_no_error_of_a_call() -> None:
    exporter = "2026-11-30 ERROR opentelemetry.exporter.otlp.proto.http._log_exporter: Failed to export logs batch"
    assert read(STARTED, exporter, WELL) == [Sample(latency=timedelta(milliseconds=77.3))]


def record(body: str, severity: str = "INFO") -> tuple[str, ...]:
    """Return the lines of one record as the library's console exporter prints it."""
    return ("{", f'    "body": "{body}",', f'    "severity_text": "{severity}",', '    "attributes": {', "    },", "}")


def test_the_console_exporter_tells_each_line_once_more() -> None:
    fault = "Handler raised after response.created (response_id=caresp_a1234567)"
    body = WELL.partition("azure.ai.agentserver: ")[2]
    lines = (STARTED, RAISED.format("a1234567"), *TRACE, *record(fault, "ERROR"), WELL, *record(body))
    assert failures(*lines, STARTED, WELL, *record(body)) == (2, 1)
    assert read(*lines, STARTED, WELL)[1] == Sample(latency=timedelta(milliseconds=77.3))


def test_where_only_records_are_printed_they_are_read() -> None:
    fault = "Handler raised after response.created (response_id=caresp_a1234567)"
    body = WELL.partition("azure.ai.agentserver: ")[2]
    assert failures(*record(fault, "ERROR"), *record(body), *record(body)) == (2, 1)


def test_a_record_that_comes_before_the_line_itself_counts_once() -> None:
    assert failures(*record(WELL.partition("azure.ai.agentserver: ")[2]), WELL, STARTED, WELL) == (2, 0)


@pytest.mark.parametrize(
    "access",
    [
        'INFO:     127.0.0.1:1 - "POST /responses HTTP/1.1" 200 OK',
        LIBRARY.format("INFO") + '127.0.0.1:1 "POST /responses 1.1" 200 764 157948μs',
    ],
)
def test_the_server_below_the_library_tells_the_same_again_in_whatever_order(access: str) -> None:
    started = LIBRARY.format("INFO") + "AgentServerHost started"
    assert failures(started, STARTED, access, WELL, STARTED, WELL, access) == (2, 0)
    assert failures(access, STARTED, WELL, access) == (2, 0)
    assert failures(access, WELL, STARTED, WELL, access) == (2, 0)


def test_a_library_that_keeps_silent_on_calls_that_go_well_leaves_them_to_the_server() -> None:
    access = 'INFO:     127.0.0.1:1 - "POST /responses HTTP/1.1" {}'
    broken = LIBRARY.format("WARNING") + "Inbound POST /responses completed with status 500 in 2.9ms"
    assert failures(access.format(200), access.format(500), broken, access.format(200)) == (3, 1)


def test_a_proxy_and_a_server_that_both_log_a_call_are_one() -> None:
    proxy = '10.0.0.1 - - [30/Nov/2026:00:00:00 +0000] "POST /responses HTTP/1.1" {} 141 "-" "httpx"'
    server = 'INFO:     127.0.0.1:1 - "POST /responses HTTP/1.1" {}'
    pair = (server.format(200), proxy.format(200))
    assert failures(*pair, *pair, server.format(500), proxy.format(500)) == (3, 1)


def test_a_line_that_names_its_request_counts_once() -> None:
    named = WELL + " (x-request-id: req-1)"
    assert failures(STARTED, named, named, STARTED, WELL + " (x-request-id: req-2)") == (2, 0)


@pytest.mark.parametrize(
    "crash",
    [
        ("ERROR:    Exception in ASGI application", *TRACE),
        (
            "[2026-11-30 03:18:32 +0000] [17338] [ERROR] Error in ASGI Framework",
            *TRACE,
            "2026-11-30 03:18:32,871 ERROR hypercorn.error: Error in ASGI Framework",
            *TRACE,
        ),
    ],
)
def test_what_a_server_caught_is_told_by_the_library_before_and_by_nobody_without_it(crash: tuple[str, ...]) -> None:
    assert read(STARTED, BROKEN, *crash, STARTED, WELL)[1] == Sample(latency=timedelta(milliseconds=77.3))
    assert failures(STARTED, BROKEN, *crash) == (1, 1)
    assert failures(*crash, ACCESS.format(500), ACCESS.format(200)) == (2, 1)
    assert failures(ACCESS.format(200), *crash, ACCESS.format(200)) == (2, 1)


def test_words_of_a_user_in_the_log_are_no_call() -> None:
    said = "2026-11-30 INFO my.agent: they asked: Inbound POST /responses failed with status 500 in 1.0ms"
    assert failures(STARTED, said, WELL) == (1, 0)


def test_failures_that_no_line_ended_are_told_at_the_end() -> None:
    assert failures(STARTED, STARTED, RAISED.format("a1234567"), RAISED.format("b1234567")) == (2, 2)


@pytest.mark.parametrize(
    "line",
    [
        "openai.RateLimitError: Error code: 429 - {'error': {'code': 'rate_limit_exceeded'}}",
        'INFO httpx: HTTP Request: POST https://models.example/chat "HTTP/1.1 429 Too Many Requests"',
        "  RateLimitReached: Requests to the operation have exceeded token rate limit of your pricing tier",
        "ERROR agent: insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ],
)
def test_a_call_that_fails_after_a_line_about_the_models_limit_failed_for_that(line: str) -> None:
    causes = [sample.cause for sample in read(line, ACCESS.format(500), ACCESS.format(500))]
    assert causes == ["model rate limit", "HTTP 500"]
    # The agent tried again, and did well.
    assert [sample.cause for sample in read(line, ACCESS.format(200), ACCESS.format(500))] == [None, "HTTP 500"]
    assert [sample.cause for sample in read(line, ACCESS.format(404))] == ["HTTP 404"]
    # What the agent itself answers is no throttling of ours.
    assert [sample.cause for sample in read(line, ACCESS.format(429), ACCESS.format(429))] == ["model rate limit"]


def test_a_response_that_failed_after_its_status_may_have_failed_for_the_models_limit() -> None:
    lines = (STARTED, "openai.RateLimitError: Error code: 429", RAISED.format("0123456789"), WELL)
    assert [sample.cause for sample in read(*lines)] == ["model rate limit"]


def test_a_line_about_another_limit_is_none_of_the_models() -> None:
    lines = ("INFO agent: 3 of 10 of your quota used", "ERROR agent: the rate is limited by law", ACCESS.format(500))
    assert [sample.cause for sample in read(*lines)] == ["HTTP 500"]
