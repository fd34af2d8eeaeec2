"""Say whether an answer to a prompt is what the policy expects."""

import json
from typing import Any

from foundry_rollouts.core.patterns import has_pattern, obeys
from foundry_rollouts.core.sources import Expectation
from foundry_rollouts.ports import Answer


def flaw(answer: Answer, expect: Expectation) -> str | None:
    """Return what is wrong with ``answer`` in a few words; None when it is as expected."""
    if answer.status != expect.status:
        return f"HTTP {answer.status}" + (f" {answer.code}" if answer.code else "")
    if inside := _failure_inside(_parsed(answer.text)):
        return inside
    text = text_of(answer.text)
    if expect.contains is not None and expect.contains not in text:
        return "expected text missing"
    if expect.regex is not None and not has_pattern(text, expect.regex):
        return "expected pattern missing"
    if expect.schema is not None and not obeys(_parsed(text), expect.schema):
        return "not of the expected schema"
    if expect.max_time is not None and answer.latency > expect.max_time:
        return f"slower than {expect.max_time.total_seconds():g} s"
    return None


def text_of(text: str) -> str:
    """Return the output text of a Responses answer, or the body as it stands."""
    body = _parsed(text)
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        return text
    parts = [part for item in body["output"] for part in _contents(item)]
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part)


def _failure_inside(body: Any) -> str | None:
    """Find the failures that come inside HTTP 200: a response that failed, is incomplete or says nothing."""
    if not isinstance(body, dict) or body.get("object") != "response":
        return None
    if body.get("status") in {"failed", "incomplete", "cancelled"}:
        return f"response {body['status']}"
    return None if _says_something(body.get("output")) else "response empty"


def _says_something(output: Any) -> bool:
    """Whether there is a word in a message, or anything that is no message, as a call of a tool."""
    if not isinstance(output, list):
        return False
    messages = [item for item in output if isinstance(item, dict) and item.get("type", "message") == "message"]
    return len(messages) < len(output) or any(_has_words(part) for item in messages for part in _contents(item))


def _has_words(part: Any) -> bool:
    return isinstance(part, dict) and any(part.get(key) for key in ("text", "refusal"))


def _contents(item: Any) -> list[Any]:
    content = item.get("content") if isinstance(item, dict) else None
    return content if isinstance(content, list) else []


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
