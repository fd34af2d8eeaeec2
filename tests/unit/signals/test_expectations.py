"""What counts as a good answer: the status, the words, and what goes wrong inside HTTP 200."""

import json
from datetime import timedelta
from typing import Any

import pytest

from foundry_rollouts.core.model.sources import HARMLESS, Expectation, Prompt
from foundry_rollouts.ports import Answer
from foundry_rollouts.signals import expectations
from foundry_rollouts.signals.expectations import text_of

TOLD, OFFERED = "tell me", {"tool": "x"}


def flaw(answer: Answer, expect: Expectation, asked: Any = TOLD) -> str | None:
    """Return what is wrong with an answer to a prompt of text, or of any other input."""
    return expectations.flaw(answer, Prompt("p", asked, expect))


def said(text: str, **but: Any) -> Answer:
    """Return a Responses answer that says ``text``."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return response(output=[message], **but)


def response(status: str = "completed", output: Any = (), **but: Any) -> Answer:
    body = {"object": "response", "status": status, "output": output if isinstance(output, str) else list(output)}
    return Answer(200, json.dumps(body), but.get("latency", timedelta(milliseconds=20)))


def body(text: str, media: str = "", **but: Any) -> Answer:
    return Answer(but.pop("status", 200), text, timedelta(milliseconds=20), media=media, **but)


def test_an_answer_that_nothing_is_expected_of_is_good() -> None:
    assert flaw(said("hello"), Expectation()) is None
    assert flaw(Answer(200, "plain text", timedelta(0)), Expectation(), OFFERED) is None


def test_another_status_is_told_with_the_error_code() -> None:
    assert flaw(Answer(500, "", timedelta(0), "server_error"), Expectation()) == "HTTP 500 server_error"
    assert flaw(Answer(404, "", timedelta(0)), Expectation()) == "HTTP 404"


def test_a_refusal_that_is_expected_is_good() -> None:
    assert flaw(Answer(400, "", timedelta(0)), Expectation(status=400)) is None


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "empty answer"),
        ("  \n", "empty answer"),
        ("<html>down for maintenance</html>", "HTML instead of an answer"),
        ("<!DOCTYPE html>\n<title>502</title>", "HTML instead of an answer"),
        ("{}", "no response object"),
        ("null", "no response object"),
        ('"ok"', "no response object"),
        ("[]", "no response object"),
        ("plain words", "no response object"),
        ('{"object": "list", "data": []}', "no response object"),
        ('{"id":"caresp_1","object":"resp', "broken JSON"),
        ('{"error": {"code": "server_error", "message": "boom"}}', "error inside HTTP 200: server_error"),
        ('{"error": "boom"}', "error inside HTTP 200"),
        ('{"error": {"code": "\\u001b[31m"}}', "error inside HTTP 200"),
        ('{"object": "response", "output": [{"content": [{"text": "x"}]}]}', "response of no known status"),
        ('{"object": "response", "status": "done\\u001b", "output": []}', "response of no known status"),
    ],
)
@pytest.mark.parametrize("prompt", [HARMLESS, Prompt("p", TOLD)])
def test_a_prompt_of_text_is_answered_by_a_response_object_and_nothing_else(
    text: str, cause: str, prompt: Prompt
) -> None:
    assert expectations.flaw(body(text), prompt) == cause


def test_words_of_another_form_are_no_response_whatever_is_expected() -> None:
    assert flaw(body('{"words": "we open at 9"}'), Expectation(contains="9")) == "no response object"


def test_a_response_may_say_what_the_policy_names_and_nothing_else() -> None:
    assert flaw(response(output=[{"type": "message", "content": []}]), Expectation(regex="^$")) is None
    assert flaw(response(output=[{"type": "reasoning", "summary": []}]), Expectation()) == "response empty"


def test_an_error_in_a_completed_response_is_a_failure() -> None:
    failed = {"object": "response", "status": "completed", "output": [], "error": {"code": "server_error"}}
    assert flaw(body(json.dumps(failed)), Expectation()) == "error inside HTTP 200: server_error"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (body("", "text/event-stream", is_whole=False), "stream without its end"),
        (body("half of it", is_whole=False), "answer cut off"),
    ],
)
@pytest.mark.parametrize("asked", [TOLD, OFFERED])
def test_what_breaks_off_is_no_answer_in_either_protocol(answer: Answer, cause: str, asked: Any) -> None:
    assert flaw(answer, Expectation(contains="half"), asked) == cause


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (body("plain"), None),
        (body('"ok"'), None),
        (body("[]", "application/json"), None),
        (body("null", "application/json"), None),
        (body('{"error": null, "total": 3}'), None),
        (body('{"n": 1}\n{"n": 2}\n', "application/x-ndjson"), None),
        (body("", status=202), None),
        (body("", status=204), None),
        (body('{"status": "running"}', status=202), None),
        (body(""), "empty answer"),
        (body("<html>down</html>"), "HTML instead of an answer"),
        (body("we are closed", "text/html"), "HTML instead of an answer"),
        (body('{"total": 3', "application/json"), "broken JSON"),
        (body('{"total": 3'), "broken JSON"),
        (body('{"n": 1}\n{"n"', "application/json"), "broken JSON"),
        (body('{"error": {"code": "tool_failed"}}'), "error inside HTTP 200: tool_failed"),
        (body('{"object": "response", "status": "failed"}'), "response failed"),
        (body('{"object": "response", "status": "completed", "output": []}'), "response empty"),
        (body("", status=302), "HTTP 302"),
    ],
)
def test_invocations_answer_as_they_like_but_not_by_nothing_by_half_by_a_page_or_by_an_error(
    answer: Answer, cause: str | None
) -> None:
    assert flaw(answer, Expectation(), OFFERED) == cause


def test_what_the_policy_names_is_an_answer_of_invocations_though_it_looks_like_none() -> None:
    assert flaw(body("<html>we open at 9</html>"), Expectation(contains="9"), OFFERED) is None
    assert flaw(body(""), Expectation(regex="^$"), OFFERED) is None
    assert flaw(body('{"error": "closed"}'), Expectation(schema={"required": ["error"]}), OFFERED) is None


@pytest.mark.parametrize("status", ["failed", "incomplete", "cancelled", "in_progress", "queued"])
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
    assert flaw(Answer(200, '{"total": 3}', timedelta(0)), Expectation(schema=schema), OFFERED) is None
    for wrong in (said('{"sum": 3}'), said("three")):
        assert flaw(wrong, Expectation(schema=schema)) == "not of the expected schema"
    assert flaw(body('{"sum": 3}'), Expectation(schema=schema), OFFERED) == "not of the expected schema"


def test_an_answer_that_takes_too_long_is_a_failure() -> None:
    slow = said("hello", latency=timedelta(seconds=31))
    assert flaw(slow, Expectation(max_time=timedelta(seconds=30))) == "slower than 30 s"
    assert flaw(slow, Expectation(max_time=timedelta(seconds=31))) is None


def test_several_messages_are_read_as_lines() -> None:
    parts = [{"type": "output_text", "text": text} for text in ("one", "two")]
    assert text_of(json.dumps({"output": [{"content": parts}, {"content": parts[:1]}, 4]})) == "one\ntwo\none"
