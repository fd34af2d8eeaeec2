"""What counts as a good answer: the status, the words, and what goes wrong inside HTTP 200."""

import json
from datetime import timedelta
from typing import Any

import pytest

from foundry_rollouts.core.sources import Expectation
from foundry_rollouts.ports import Answer
from foundry_rollouts.signals.expectations import flaw, text_of


def said(text: str, **but: Any) -> Answer:
    """Return a Responses answer that says ``text``."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return response(output=[message], **but)


def response(status: str = "completed", output: Any = (), **but: Any) -> Answer:
    body = {"object": "response", "status": status, "output": output if isinstance(output, str) else list(output)}
    return Answer(200, json.dumps(body), but.get("latency", timedelta(milliseconds=20)))


def test_an_answer_that_nothing_is_expected_of_is_good() -> None:
    assert flaw(said("hello"), Expectation()) is None
    assert flaw(Answer(200, "plain text", timedelta(0)), Expectation()) is None


def test_another_status_is_told_with_the_error_code() -> None:
    assert flaw(Answer(500, "", timedelta(0), "server_error"), Expectation()) == "HTTP 500 server_error"
    assert flaw(Answer(404, "", timedelta(0)), Expectation()) == "HTTP 404"


def test_a_refusal_that_is_expected_is_good() -> None:
    assert flaw(Answer(400, "", timedelta(0)), Expectation(status=400)) is None


@pytest.mark.parametrize("status", ["failed", "incomplete", "cancelled"])
def test_a_response_that_failed_inside_http_200_is_a_failure(status: str) -> None:
    assert flaw(response(status=status), Expectation()) == f"response {status}"


@pytest.mark.parametrize(
    "output",
    [
        [],
        "words",
        [{"type": "message", "content": []}],
        [{"type": "message", "content": "words"}],
        [{"type": "message", "content": 4}],
        [{"type": "message", "content": [{"type": "output_text", "text": ""}]}],
    ],
)
def test_a_response_that_says_nothing_is_a_failure(output: Any) -> None:
    assert flaw(response(output=output), Expectation()) == "response empty"


def test_a_call_of_a_tool_says_something() -> None:
    assert flaw(response(output=[{"type": "function_call", "name": "order"}]), Expectation()) is None


def test_expected_words_are_looked_for_in_what_the_agent_said_and_not_around_it() -> None:
    assert flaw(said("we open at 9"), Expectation(contains="9", regex=r"at \d")) is None
    assert flaw(said("we open"), Expectation(contains="assistant")) == "expected text missing"
    assert flaw(said("we open"), Expectation(regex=r"\d")) == "expected pattern missing"


def test_a_schema_holds_for_what_the_agent_said_in_either_protocol() -> None:
    schema = {"type": "object", "required": ["total"]}
    assert flaw(said('{"total": 3}'), Expectation(schema=schema)) is None
    assert flaw(Answer(200, '{"total": 3}', timedelta(0)), Expectation(schema=schema)) is None
    for wrong in (said('{"sum": 3}'), said("three"), Answer(200, '{"sum": 3}', timedelta(0))):
        assert flaw(wrong, Expectation(schema=schema)) == "not of the expected schema"


def test_an_answer_that_takes_too_long_is_a_failure() -> None:
    slow = said("hello", latency=timedelta(seconds=31))
    assert flaw(slow, Expectation(max_time=timedelta(seconds=30))) == "slower than 30 s"
    assert flaw(slow, Expectation(max_time=timedelta(seconds=31))) is None


def test_several_messages_are_read_as_lines() -> None:
    parts = [{"type": "output_text", "text": text} for text in ("one", "two")]
    assert text_of(json.dumps({"output": [{"content": parts}, {"content": parts[:1]}, 4]})) == "one\ntwo\none"
