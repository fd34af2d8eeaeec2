"""Whether what came back is an answer: failures inside HTTP 200, halves, and another version than was asked for.

What an agent said is shown before it is said what is wrong with it.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from foundry_rollouts.cli.errors import ERROR
from foundry_rollouts.cli.output import pass_on, say
from foundry_rollouts.cli.verbosity import is_verbose
from foundry_rollouts.errors import NOT_WHOLE, CloudError, Refusal
from foundry_rollouts.foundry.invocations import Invoked, Question, output_text
from foundry_rollouts.foundry.refusals import one_line, one_word, parsed, refusal_of
from foundry_rollouts.ports import Serving
from foundry_rollouts.untrusted import visible_line

WHOLE = "completed"


def operation_of(question: Question) -> str:
    return "responses.create" if question.is_text else "invocations.create"


def whole(question: Question, invoked: Invoked) -> str:
    """Return what was said. Raises CloudError for a refusal, a failure and a half, once what came of it is shown."""
    answer, headers = invoked.answer, invoked.headers
    if answer.status >= 300:
        raise CloudError(operation_of(question), refusal_of(answer.status, headers, answer.text.encode()))
    if not question.is_text or invoked.is_accepted:
        if answer.code is not None:
            raise CloudError(operation_of(question), refusal_of(answer.status, headers, answer.text.encode()))
        return invoked.said
    response = parsed(answer.text.encode("utf-8", "replace"))
    refuse_unfinished(question, response, headers, output_text(response))
    if not response:
        pass_on(answer.text)
        what = "answered 200 with something that is no response"
        raise CloudError(operation_of(question), _with_ids(Refusal(None, NOT_WHOLE, what), headers))
    return invoked.said


def refuse_unfinished(
    question: Question, response: Mapping[str, Any], headers: Mapping[str, str], came: str | None
) -> None:
    """Raise CloudError for a response that is not completed; show ``came``, what it said until then."""
    status, error = response.get("status"), response.get("error")
    if error in (None, "", []) and status in (None, WHOLE):
        return
    if came:
        pass_on(came)
    error = error if isinstance(error, Mapping) else {"message": error}
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    what = error.get("message") or f"the response is {status}" + (f": {reason}" if reason else ", without a reason")
    code = one_word(error.get("code") or reason or status or "failed")
    refusal = Refusal(200, code, one_line(str(what)), response_id=_id(response))
    raise CloudError(operation_of(question), _with_ids(refusal, headers))


def cut_off(question: Question, headers: Mapping[str, str], why: str, response: str | None = None) -> CloudError:
    """Return the error of an answer that broke off; what came of it is shown already."""
    return CloudError(operation_of(question), _with_ids(Refusal(None, "cut_off", why, response_id=response), headers))


def disobeyed(question: Question, serving: Serving) -> int:
    """Say that another version served than was asked for, or that nobody says which; return the exit code."""
    wish = question.version_override
    objection = serving.objection(wish) if wish else None
    if objection is None:
        return 0
    say(f"error: version {wish} was asked for and {objection}: the answer is not known to be its own", err=True)
    return ERROR


def tell(version: object, session: object, took: timedelta | None, **ids: object) -> None:
    """Write on stderr who answered and how long it took; the ids too for who wants to know more."""
    words = [
        f"version {visible_line(str(version))}" if version else "",
        f"session {visible_line(str(session))}" if session else "",
        *(f"{name} {visible_line(str(value))}" for name, value in ids.items() if value and is_verbose()),
        f"{took.total_seconds():.2f} s" if took else "",
    ]
    if line := ", ".join(word for word in words if word):
        say(line, err=True)


def response_id(text: str) -> str | None:
    """Return the id of the response in ``text``; None where it is none."""
    return _id(parsed(text.encode("utf-8", "replace")))


def _id(response: Mapping[str, Any]) -> str | None:
    return one_word(response["id"]) if response.get("object") == "response" and response.get("id") else None


def _with_ids(refusal: Refusal, headers: Mapping[str, str]) -> Refusal:
    found = refusal_of(0, headers, b"")
    return Refusal(refusal.status, refusal.code, refusal.message, found.request_id, found.region, refusal.response_id)
