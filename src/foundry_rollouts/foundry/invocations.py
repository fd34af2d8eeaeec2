"""Calling an agent, by the Responses protocol or by Invocations, whole or as a stream.

What a call did is not known when its answer is lost, so nothing is sent twice unless the caller asks for it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from foundry_rollouts.errors import CloudError, Refusal, UsageError
from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.answering import read_to_end
from foundry_rollouts.foundry.calls import Call, Reply, ServerEvent, json_body, path_of
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.refusals import one_word, parsed, refusal_of
from foundry_rollouts.foundry.retry import PATIENT, TIMEOUT, Repeat, RetryBudget
from foundry_rollouts.foundry.serving import OVERRIDE, refuse_bad_override, serving_of, session_of, version_of
from foundry_rollouts.ports import Answer, Serving

SYNCHRONOUS = timedelta(seconds=150)  #: The gateway itself gives up at about 120 s.

_ANY_STATUS = frozenset(range(300, 600))
_SESSION = "agent_session_id"
_USER = re.compile(r"[A-Za-z0-9._:\-@]{1,256}")


class AnswerTimeoutError(CloudError, TimeoutError):
    """The question was sent and no answer came in time, which may be the version's own doing."""

    @property
    def is_ours(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of whom: text goes by Responses, anything else by Invocations as JSON."""

    agent: str
    content: Any
    session: str | None = None  #: None: a new session, drawn by the routing.
    conversation: str | None = None  #: Only of the Responses protocol.
    user: str | None = None  #: On whose behalf; needs the right to impersonate, protocol 2.0.0.
    version_override: str | None = None  #: Which version is to serve a call in a new session; ``latest`` too.
    version: str | None = None  #: Of a prompt agent: the version that is to answer, whatever the weights say.

    @property
    def is_text(self) -> bool:
        return isinstance(self.content, str)

    def __post_init__(self) -> None:
        if self.user is not None and not _USER.fullmatch(self.user):
            raise UsageError(f"user {self.user!r}: 1 to 256 letters, digits and ._:-@ name a user")
        if self.version_override is not None:
            refuse_bad_override(self.version_override)
            if self.session is not None:
                raise UsageError("a session keeps its version: ask for a version without a session, or without both")
        if self.version is not None and not self.is_text:
            raise UsageError(f"{self.agent} is a prompt agent, which answers Responses only: ask it a text")


@dataclass(frozen=True, slots=True)
class Invoked:
    """An answer, and what it says about who gave it: ``answer.serving`` and ``session`` are of the first one."""

    answer: Answer
    said: str  #: The words of a Responses answer, or the body as it stands.
    session: str | None = None
    version: str | None = None  #: By a header, or by the Responses protocol.
    invocation: str | None = None
    is_accepted: bool = False  #: The work goes on; ask for it by ``invocation``.
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begun:
    """What the headers of a stream say, before its first event."""

    serving: Serving
    session: str | None
    headers: Mapping[str, str]


class Invocations:
    """The agents of one project, to be called. CloudError means that no answer came."""

    def __init__(self, transport: Transport, patience: RetryBudget = PATIENT) -> None:
        self._transport = transport
        self._patience = patience

    async def ask(self, question: Question, limit: timedelta = SYNCHRONOUS) -> Invoked:
        """Send ``question`` once; whatever HTTP status comes is the answer.

        Raises AnswerTimeoutError after ``limit``; the ``code`` of any other CloudError tells ``connection`` (the
        question never left) and ``dropped`` apart.
        """
        call = _call(question, Repeat.NEVER, limit, _ANY_STATUS)
        try:
            return _invoked(await self._transport.request(call))
        except CloudError as error:
            if error.refusal.code == TIMEOUT:
                raise AnswerTimeoutError(error.operation, error.refusal) from error
            raise

    async def read(self, question: Question, limit: timedelta, *, stream: bool = False) -> Answer:
        """Send ``question`` once and read the answer to its end, as a stream where ``stream`` asks for one.

        Raises AnswerTimeoutError when the end does not come within ``limit``, CloudError when no answer begins.
        """
        call = _call(question, Repeat.NEVER, limit, _ANY_STATUS, stream=stream)
        try:
            async with self._transport.stream(call) as answer, asyncio.timeout((limit - answer.lasts).total_seconds()):
                ended = await read_to_end(answer, is_response=question.is_text)
                said = parsed(ended.text.encode()) if question.is_text else {}
                session, serving = session_of(answer.headers, said), serving_of(answer.headers)
                served = replace(ended, serving=serving, session=session)
                return replace(served, latency=answer.lasts, version=version_of(answer.headers, said))
        except TimeoutError as error:
            late = Refusal(None, TIMEOUT, "the answer did not come to its end within the time limit")
            raise AnswerTimeoutError(call.operation, late) from error
        except CloudError as error:
            if error.refusal.code == TIMEOUT:
                raise AnswerTimeoutError(error.operation, error.refusal) from error
            raise

    async def ask_patiently(self, question: Question, limit: timedelta = SYNCHRONOUS) -> Invoked:
        """Send ``question``, again while a sandbox wakes or the cloud throttles: it may run more than once."""
        call = _call(question, Repeat.INVOCATION, limit, frozenset())
        return _invoked(await self._transport.request(call, self._patience))

    async def stream(
        self,
        question: Question,
        limit: timedelta = SYNCHRONOUS,
        on_begin: Callable[[Begun], None] = lambda _begun: None,
    ) -> AsyncGenerator[ServerEvent, None]:
        """Send ``question`` once and yield the events of its answer; ``limit`` is for the first of them."""
        call = _call(question, Repeat.NEVER, limit, frozenset(), stream=True)
        async with self._transport.stream(call) as answer:
            on_begin(Begun(serving_of(answer.headers), session_of(answer.headers, {}), answer.headers))
            if "text/event-stream" not in answer.headers.get("content-type", ""):
                content = b"".join([chunk async for chunk in answer.chunks()])
                if question.is_text:
                    kind = answer.headers.get("content-type", "")
                    shapes.answer().read(call.operation, answer.status, kind, content)
                yield ServerEvent("message", content.decode("utf-8", "replace"))
                return
            async with aclosing(answer.events()) as events:
                async for event in events:
                    yield event

    async def conversation(self, agent: str) -> str:
        """Open a conversation and return its id; the cloud binds one session to it."""
        path = path_of("agents", agent, "endpoint", "protocols", "openai", "conversations")
        shape = shapes.kept("conversation")
        call = Call("conversations.create", "POST", path, Repeat.ONCE, body=json_body({}), shape=shape)
        return str((await self._transport.request(call)).json.get("id") or "")


def _genai(question: Question) -> dict[str, str]:
    """Return what a trace says of a call of an agent, in the older and the newer words of OpenTelemetry.

    The values are those of Microsoft's own SDK. What was asked and answered is left out.
    """
    known = {"gen_ai.conversation.id": question.conversation, "gen_ai.agent.version": question.version}
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.system": "az.ai.agents",
        "gen_ai.provider.name": "microsoft.foundry",
        "gen_ai.agent.name": question.agent,
        **{name: value for name, value in known.items() if value is not None},
    }


def _call(
    question: Question, repeat: Repeat, limit: timedelta, tolerates: frozenset[int], *, stream: bool = False
) -> Call:
    protocols = ("agents", question.agent, "endpoint", "protocols")
    headers = {"Accept": "text/event-stream, application/json;q=0.9, */*;q=0.1"} if stream else {}
    headers |= {"x-ms-user-identity": question.user} if question.user else {}
    headers |= {OVERRIDE: question.version_override} if question.version_override else {}
    if not question.is_text:
        # The Invocations protocol is routed by the query alone, the body is the container's own.
        params = {_SESSION: question.session} if question.session else {}
        path, body = path_of(*protocols, "invocations"), json_body(question.content)
        about = _genai(question)
        return Call("invocations.create", "POST", path, repeat, params, headers, body, limit, tolerates, about=about)
    wish: dict[str, Any] = {"input": question.content}
    wish |= {"stream": True} if stream else {}
    wish |= {_SESSION: question.session} if question.session else {}
    wish |= {"conversation": question.conversation} if question.conversation else {}
    path = path_of(*protocols, "openai", "responses")
    call = Call(
        "responses.create", "POST", path, repeat, {}, headers, json_body(wish), limit, tolerates, about=_genai(question)
    )
    if question.version is None:
        return call
    # There is no session that could be bound to a version: the reference names it, at the project's own address.
    wish["agent_reference"] = {"type": "agent_reference", "name": question.agent, "version": question.version}
    return replace(call, path=path_of("openai", "v1", "responses"), body=json_body(wish), is_versioned=False)


def _invoked(reply: Reply) -> Invoked:
    body = reply.json
    said = output_text(body)
    return Invoked(
        _answer(reply),
        said=reply.content.decode("utf-8", "replace") if said is None else said,
        session=session_of(reply.headers, body),
        version=version_of(reply.headers, body),
        invocation=reply.headers.get("x-agent-invocation-id"),
        is_accepted=reply.status == 202,
        retry_after=reply.headers.get("retry-after"),
        headers=reply.headers,
    )


def _answer(reply: Reply) -> Answer:
    """Return the body as it came; a response that failed inside HTTP 200 has its code, too."""
    text = reply.content.decode("utf-8", "replace")
    answer = Answer(reply.status, text, reply.latency, serving=serving_of(reply.headers))
    if reply.status >= 300:
        return replace(answer, code=refusal_of(reply.status, reply.headers, reply.content).code)
    failed = reply.json.get("error")
    return replace(answer, code=one_word(failed.get("code") or "failed") if isinstance(failed, dict) else None)


def output_text(response: Mapping[str, Any]) -> str | None:
    """Return what the agent said in a Responses object; None when it holds no output."""
    output = response.get("output")
    if not isinstance(output, list) or not output:
        return None
    return "".join(
        str(part.get("text") or "")
        for item in output
        if isinstance(item, dict)
        for part in _parts(item)
        if isinstance(part, dict) and part.get("type") == "output_text"
    )


def _parts(item: Mapping[str, Any]) -> list[Any]:
    content = item.get("content")
    return content if isinstance(content, list) else []


def text_of(event: ServerEvent) -> str:
    """Return the piece of text that a streamed event adds; empty for all other events."""
    if event.event != "response.output_text.delta":
        return ""
    return str(parsed(event.data.encode()).get("delta") or "")
