"""Say whether an answer to a prompt is what the policy expects."""

from foundry_rollouts.core.model.patterns import has_pattern, obeys
from foundry_rollouts.core.model.sources import Prompt
from foundry_rollouts.ports import Answer
from foundry_rollouts.signals.answers import contents, no_answer, parsed


def flaw(answer: Answer, prompt: Prompt) -> str | None:
    """Return what is wrong with ``answer`` in a few words; None when it is as expected."""
    expect, is_response = prompt.expect, isinstance(prompt.input, str)
    # An Invocations agent may say more than 200: that the work goes on, or that there is nothing to say.
    is_well = 200 <= answer.status < 300 and (answer.status == expect.status or not is_response)
    if answer.status != expect.status and not (is_well and expect.status == 200):
        return f"HTTP {answer.status}" + (f" {answer.code}" if answer.code else "")
    if is_well and (trouble := no_answer(answer, expect, is_response=is_response)):
        return trouble
    text = text_of(answer.text)
    if expect.contains is not None and expect.contains not in text:
        return "expected text missing"
    if expect.regex is not None and not has_pattern(text, expect.regex):
        return "expected pattern missing"
    if expect.schema is not None and not obeys(parsed(text), expect.schema):
        return "not of the expected schema"
    if expect.max_time is not None and answer.latency > expect.max_time:
        return f"slower than {expect.max_time.total_seconds():g} s"
    return None


def text_of(text: str) -> str:
    """Return the output text of a Responses answer, or the body as it stands."""
    body = parsed(text)
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        return text
    parts = [part for item in body["output"] for part in contents(item)]
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part)
