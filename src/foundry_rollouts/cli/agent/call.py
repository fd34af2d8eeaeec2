"""The call behind ``agent invoke``: its session, its answer whole or in pieces, its polling."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import typer

from foundry_rollouts.cli.errors import ERROR
from foundry_rollouts.cli.output import pass_on, say
from foundry_rollouts.errors import CloudError, Refusal, UsageError
from foundry_rollouts.foundry.calls import ServerEvent
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.invocations import SYNCHRONOUS, Invoked, Question, output_text, text_of
from foundry_rollouts.foundry.long_calls import PACE, LongCall, Progress
from foundry_rollouts.foundry.refusals import one_line, one_word, parsed, refusal_of
from foundry_rollouts.ports import PROMPT


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask."""

    is_stream: bool
    is_patient: bool
    is_waiting: bool
    timeout: timedelta | None

    @property
    def limit(self) -> timedelta:
        return self.timeout or SYNCHRONOUS


async def call(cloud: FoundryClient, question: Question, version: str | None, manner: Manner) -> int:
    """Ask, show the answer, return the exit code. Raises CloudError when the agent or the cloud refuses."""
    async with _seated(cloud, question, version, manner) as seated:
        if manner.is_stream:
            return await _stream(cloud, seated, manner)
        ask = cloud.api.invocations.ask_patiently if manner.is_patient else cloud.api.invocations.ask
        invoked = await ask(seated, manner.limit)
        _refuse_failure(seated, invoked)
        _tell_who(invoked)
        if not invoked.is_accepted:
            pass_on(invoked.said)
            return 0
        return await _go_on(cloud, seated, invoked, manner)


async def call_again(cloud: FoundryClient, long_call: LongCall, manner: Manner, *, ends: bool) -> int:
    """Cancel a running call, or wait for its end; show it and return the exit code."""
    if ends:
        return _shown(await cloud.api.long_calls.cancel(long_call), good=("cancelled", "canceled", "completed"))
    pace = replace(PACE, limit=manner.timeout or PACE.limit)
    return _shown(await cloud.api.long_calls.wait(long_call, pace))


@asynccontextmanager
async def _seated(
    cloud: FoundryClient, question: Question, version: str | None, manner: Manner
) -> AsyncIterator[Question]:
    """Give the question a session on ``version``; one that has no name of the user's own is deleted afterwards.

    A prompt agent has no sessions: the question itself names the version.
    """
    if version is None:
        yield question
        return
    if (await cloud.agent(question.agent)).kind == PROMPT:
        if question.session is not None:
            raise UsageError(f"{question.agent} is a prompt agent, which has no sessions: leave out --session")
        yield replace(question, version=version)
        return
    made = await cloud.api.sessions.create(question.agent, version, question.session)
    try:
        yield replace(question, session=made.id)
    finally:
        if question.session is None and manner.is_waiting:
            await cloud.api.sessions.delete(question.agent, made.id)


async def _go_on(cloud: FoundryClient, question: Question, invoked: Invoked, manner: Manner) -> int:
    if invoked.invocation is None:
        pass_on(invoked.said)
        return 0
    long_call = LongCall(question.agent, invoked.invocation, invoked.session)
    words = f"foundry-rollouts agent invoke {question.agent} --session {invoked.session}"
    say(f"accepted as {invoked.invocation}; it ends with: {words} --cancel {invoked.invocation}", err=True)
    if not manner.is_waiting:
        say(invoked.invocation)
        return 0
    return await call_again(cloud, long_call, manner, ends=False)


def _shown(progress: Progress, good: tuple[str, ...] = ("completed",)) -> int:
    pass_on(progress.text)
    if progress.state in good or not progress.is_over:
        return 0
    say(f"error: the call is {progress.state}: see 'foundry-rollouts agent logs'", err=True)
    return ERROR


async def _stream(cloud: FoundryClient, question: Question, manner: Manner) -> int:
    is_inside_line = False
    async with aclosing(cloud.api.invocations.stream(question, manner.limit)) as events:
        async for event in events:
            _refuse_failed_event(question, event)
            if question.is_text:
                _tell_author(event)
                piece = _whole_text(event) or text_of(event)
                pass_on(piece, nl=False)
                is_inside_line = is_inside_line or bool(piece)
            else:
                pass_on(event.data)
    if is_inside_line:
        typer.echo()
    return 0


def _whole_text(event: ServerEvent) -> str | None:
    """Return the words of an agent that answers whole although it was asked for a stream."""
    return output_text(_object(event.data)) if event.event == "message" else None


def _tell_author(event: ServerEvent) -> None:
    if event.event != "response.created":
        return
    response = _part(_object(event.data), "response")
    version = _part(response, "agent_reference").get("version")
    _tell(version, response.get("agent_session_id"), None)


def _refuse_failed_event(question: Question, event: ServerEvent) -> None:
    if event.event not in {"error", "response.failed"}:
        return
    body = _object(event.data)
    error = _part(body, "error") or _part(_part(body, "response"), "error") or body
    what = one_line(str(error.get("message") or event.data))
    raise CloudError(_operation(question), Refusal(200, one_word(error.get("code") or "failed"), what))


def _refuse_failure(question: Question, invoked: Invoked) -> None:
    answer = invoked.answer
    if answer.status >= 300:
        headers = {"x-agent-session-id": invoked.session or ""}
        raise CloudError(_operation(question), refusal_of(answer.status, headers, answer.text.encode()))
    if answer.code is not None:
        refusal = refusal_of(answer.status, {}, answer.text.encode())
        raise CloudError(_operation(question), refusal)


def _operation(question: Question) -> str:
    return "responses.create" if question.is_text else "invocations.create"


def _tell_who(invoked: Invoked) -> None:
    _tell(invoked.version, invoked.session, invoked.answer.latency)


def _tell(version: object, session: object, took: timedelta | None) -> None:
    words = [
        f"version {version}" if version else "",
        f"session {session}" if session else "",
        f"{took.total_seconds():.2f} s" if took else "",
    ]
    if line := ", ".join(word for word in words if word):
        say(line, err=True)


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _object(text: str) -> dict[str, Any]:
    return parsed(text.encode("utf-8", "replace"))
