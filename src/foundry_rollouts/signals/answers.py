"""Whether what came back is an answer at all, whatever the policy expects of it.

A prompt of text is answered by a response object that is completed, in one piece or as a stream that reached its end.
Invocations answer as they like, but not by nothing, by half, by a page of a gateway or by an error. Each kind of
failure has its own words, so that a history tells them apart.
"""

import json
import re
from typing import Any

from foundry_rollouts.core.model.failures import names_model_limit
from foundry_rollouts.core.model.sources import Expectation
from foundry_rollouts.ports import Answer

EVENTS = "text/event-stream"
_STATUSES = {"failed", "incomplete", "cancelled", "in_progress", "queued"}
_PAGE = re.compile(r"\s*<(!doctype html|html)\b", re.IGNORECASE)
LONGEST_ERROR = 10_000  #: Characters of an error that are searched.
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def no_answer(answer: Answer, expect: Expectation, *, is_response: bool) -> str | None:
    """Return why a 2xx is no answer, in a few words; None when it is one."""
    if not answer.is_whole:
        return "stream without its end" if answer.media == EVENTS else "answer cut off"
    body = parsed(answer.text)
    if is_response:
        return _no_response(answer, body, expect)
    if isinstance(body, dict) and body.get("object") == "response":
        return _unfinished(body) or (None if _is_named(expect) or _has_output(body) else "response empty")
    return _no_invocation(answer, body, expect)


def is_model_limit(answer: Answer) -> bool:
    """Whether a failed answer says that the agent's own model refused the call for its rate or quota.

    Of a 2xx only its error counts: an agent may well talk of quotas.
    """
    if answer.status >= 500:
        return names_model_limit(f"{answer.code or ''} {answer.text[:LONGEST_ERROR]}")
    body = parsed(answer.text) if answer.status < 300 else None
    error = body.get("error") if isinstance(body, dict) else None
    return bool(error) and names_model_limit(json.dumps(error)[:LONGEST_ERROR])


def parsed(text: str) -> Any:
    """Return the JSON value that ``text`` is; None when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_named(expect: Expectation) -> bool:
    """Whether the policy names the output that it expects."""
    return expect.contains is not None or expect.regex is not None or expect.schema is not None


def _no_response(answer: Answer, body: Any, expect: Expectation) -> str | None:
    if not answer.text.strip():
        return "empty answer"
    if isinstance(body, dict) and body.get("error") and body.get("object") != "response":
        return _error(body["error"])
    if not isinstance(body, dict) or body.get("object") != "response":
        return _instead(answer, body)
    if unfinished := _unfinished(body):
        return unfinished
    return None if _is_named(expect) or _has_output(body) else "response empty"


def _no_invocation(answer: Answer, body: Any, expect: Expectation) -> str | None:
    if not answer.text.strip():
        # Work that goes on, and an answer that says by its status that it has no body, say nothing more.
        return None if answer.status in {202, 204, 205} or _is_named(expect) else "empty answer"
    if _is_page(answer):
        return None if expect.contains is not None or expect.regex is not None else "HTML instead of an answer"
    if isinstance(body, dict) and body.get("error") and expect.schema is None:
        return _error(body["error"])
    return "broken JSON" if _is_broken(answer, body) else None


def _instead(answer: Answer, body: Any) -> str:
    """Say what came instead of a response object."""
    if _is_page(answer):
        return "HTML instead of an answer"
    return "broken JSON" if _is_broken(answer, body) else "no response object"


def _unfinished(body: dict[str, Any]) -> str | None:
    """Say how a response object tells that it is no answer; None when it is completed."""
    status = body.get("status")
    if status != "completed":
        return f"response {status}" if status in _STATUSES else "response of no known status"
    return _error(body["error"]) if body.get("error") else None


def _has_output(body: dict[str, Any]) -> bool:
    """Whether there is a word in a message, or anything that is no message, as a call of a tool."""
    output = body.get("output")
    if not isinstance(output, list):
        return False
    items = [item for item in output if isinstance(item, dict) and item.get("type") != "reasoning"]
    messages = [item for item in items if item.get("type", "message") == "message"]
    return len(messages) < len(items) or any(_has_words(part) for item in messages for part in contents(item))


def _has_words(part: Any) -> bool:
    return isinstance(part, dict) and any(
        isinstance(part.get(key), str) and part[key].strip() for key in ("text", "refusal")
    )


def contents(item: Any) -> list[Any]:
    """Return the parts of an output item."""
    content = item.get("content") if isinstance(item, dict) else None
    return content if isinstance(content, list) else []


def _is_page(answer: Answer) -> bool:
    return answer.media in {"text/html", "application/xhtml+xml"} or _PAGE.match(answer.text) is not None


def _is_broken(answer: Answer, body: Any) -> bool:
    """Whether it is meant to be JSON and is none, not line by line either."""
    text = answer.text.strip()
    is_meant = answer.media.endswith(("/json", "+json")) or (not answer.media and text.startswith('{"'))
    if body is not None or text == "null" or not is_meant:
        return False
    return any(parsed(line) is None for line in text.splitlines() if line.strip() not in {"", "null"})


def _error(error: Any) -> str:
    code = error.get("code") or error.get("type") if isinstance(error, dict) else None
    is_word = isinstance(code, str) and _WORD.fullmatch(code)
    return f"error inside HTTP 200: {code}" if is_word else "error inside HTTP 200"
