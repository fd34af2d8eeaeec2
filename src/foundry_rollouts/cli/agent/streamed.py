"""An answer as it comes: shown bit by bit, and never taken for whole where it broke off on the way."""

from contextlib import aclosing
from datetime import timedelta
from typing import Any

import typer

from foundry_rollouts.cli.agent.answers import cut_off, disobeyed, operation_of, refuse_unfinished, tell
from foundry_rollouts.cli.output import pass_on
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.foundry.calls import ServerEvent
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.invocations import Begun, Question, output_text
from foundry_rollouts.foundry.refusals import one_line, one_word, parsed, refusal_of
from foundry_rollouts.ports import Serving
from foundry_rollouts.ports.serving import UNTOLD

_ENDS = {"response.completed", "response.failed", "response.incomplete", "response.cancelled"}
_DELTA = "response.output_text.delta"
_WHOLE = "message"  #: An answer in one piece has no kind.
_DONE = "[DONE]"


class Streamed:
    """One call whose answer is shown as it comes."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._serving: Serving = UNTOLD
        self._headers: dict[str, str] = {}
        self._response: str | None = None  #: Its id.
        self._is_author_told = False
        self._is_inside_line = False
        self._has_ended = not question.is_text  #: What the events of Invocations mean is the agent's own matter.

    async def show(self, cloud: FoundryClient, limit: timedelta) -> int:
        """Ask, show what comes, return the exit code. Raises CloudError for what is refused, fails or breaks off."""
        try:
            stream = cloud.api.invocations.stream(self._question, limit, self._begin)
            async with aclosing(stream) as events:
                async for event in events:
                    self._show(event)
        except CloudError as error:
            self._end_line()
            if not self._headers or error.refusal.status is not None:
                raise
            raise cut_off(self._question, self._headers, error.refusal.message, self._response) from error
        self._end_line()
        if not self._has_ended:
            why = "the stream ended before the response did"
            raise cut_off(self._question, self._headers, why, self._response)
        return disobeyed(self._question, self._serving)

    def _begin(self, begun: Begun) -> None:
        self._serving, self._headers = begun.serving, dict(begun.headers)
        if not self._question.is_text:
            self._tell_author(begun.serving.resolved, begun.session)

    def _show(self, event: ServerEvent) -> None:
        data = parsed(event.data.encode("utf-8", "replace"))
        if event.event == "error" or data.get("type") == "error":
            raise self._failed(event, data)
        if not self._question.is_text:
            pass_on(event.data)
        elif event.data.strip() == _DONE:
            self._has_ended = True
        else:
            self._show_response(_kind(event, data), data)

    def _show_response(self, kind: str, data: dict[str, Any]) -> None:
        """Show a piece of a response, or a whole one where the agent answers whole although asked for a stream."""
        is_whole = kind == _WHOLE
        response = data if is_whole else _part(data, "response")
        self._response = one_word(response["id"]) if response.get("id") else self._response
        if is_whole or kind == "response.created":
            version = self._serving.resolved or _part(response, "agent_reference").get("version")
            self._tell_author(version, response.get("agent_session_id"))
        piece = output_text(data) if is_whole else str(data.get("delta") or "") if kind == _DELTA else ""
        pass_on(piece or "", nl=False)
        self._is_inside_line = self._is_inside_line or bool(piece)
        if is_whole or kind in _ENDS:
            self._has_ended = True
            self._end_line()
            ended = {"status": kind.removeprefix("response."), **response}
            refuse_unfinished(self._question, response if is_whole else ended, self._headers, None)

    def _failed(self, event: ServerEvent, data: dict[str, Any]) -> CloudError:
        error = _part(data, "error") or data
        what = one_line(str(error.get("message") or event.data))
        found = refusal_of(0, self._headers, b"")
        code = one_word(error.get("code") or "failed")
        refusal = Refusal(200, code, what, found.request_id, found.region, self._response)
        return CloudError(operation_of(self._question), refusal)

    def _tell_author(self, version: object, session: object) -> None:
        if not self._is_author_told:
            tell(version, session, None, **{"chosen by": self._serving.how, "response": self._response})
        self._is_author_told = True

    def _end_line(self) -> None:
        if self._is_inside_line:
            typer.echo()
        self._is_inside_line = False


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _kind(event: ServerEvent, data: dict[str, Any]) -> str:
    """Return the type of an event: its name, or the type in its data where it has none."""
    return event.event if event.event not in {"", _WHOLE} else str(data.get("type") or _WHOLE)
