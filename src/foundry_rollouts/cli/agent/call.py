"""The call behind ``agent invoke``: its session, its answer whole or in pieces, its polling."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from foundry_rollouts.cli.agent.answers import disobeyed, response_id, tell, whole
from foundry_rollouts.cli.agent.routing import refuse_where_that_cannot_help
from foundry_rollouts.cli.agent.streamed import Streamed
from foundry_rollouts.cli.errors import ERROR
from foundry_rollouts.cli.output import pass_on, say
from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.invocations import SYNCHRONOUS, Invoked, Question
from foundry_rollouts.foundry.long_calls import PACE, LongCall, Progress
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
    if question.version_override and (await cloud.agent(question.agent)).kind == PROMPT:
        raise UsageError(f"{question.agent} is a prompt agent, which takes no --version-override: use --version")
    try:
        return await _called(cloud, question, version, manner)
    except CloudError as error:
        if error.refusal.status == 403:
            await _refuse_where_closed(cloud, question.agent)
        raise


async def _refuse_where_closed(cloud: FoundryClient, agent: str) -> None:
    """Raise DriftError where it is the agent's identity that keeps it closed: enabling the agent cannot help."""
    with suppress(CloudError):
        refuse_where_that_cannot_help(agent, (await cloud.agent(agent)).disabled_by)


async def _called(cloud: FoundryClient, question: Question, version: str | None, manner: Manner) -> int:
    async with _seated(cloud, question, version, manner) as seated:
        if manner.is_stream:
            return await Streamed(seated).show(cloud, manner.limit)
        ask = cloud.api.invocations.ask_patiently if manner.is_patient else cloud.api.invocations.ask
        invoked = await ask(seated, manner.limit)
        said = whole(seated, invoked)
        _tell_who(invoked)
        if invoked.is_accepted:
            code = await _go_on(cloud, seated, invoked, manner)
        else:
            pass_on(said)
            code = 0
        return code or disobeyed(seated, invoked.answer.serving)


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


def _tell_who(invoked: Invoked) -> None:
    ids = {
        "chosen by": invoked.answer.serving.how,
        "invocation": invoked.invocation,
        "response": response_id(invoked.answer.text),
    }
    tell(invoked.version, invoked.session, invoked.answer.latency, **ids)
