"""``agent invoke``: one call, as a person or a pipeline makes it."""

from datetime import timedelta
from typing import Annotated

import typer

from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.errors import TIMED_OUT
from foundry_rollouts.cli.options import parse_span
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import UsageError

invoking = group("Call agents.")

InputArgument = Annotated[
    str | None,
    typer.Argument(metavar="INPUT", help="What to ask: text, JSON with --invocations, - for standard input."),
]
_LONG = "Of a call that was accepted: "


@invoking.command(
    "invoke",
    cls=Command,
    epilog=examples(
        'foundry-rollouts agent invoke support-eu "Where is my order?" --stream',
        'foundry-rollouts agent invoke support-eu "Where is my order?" --version 8',
        """foundry-rollouts agent invoke orders '{"order": 4711}' --invocations""",
        "foundry-rollouts agent invoke orders --cancel 1f0c2d --session 5c7a9e01",
    ),
)
@waits
async def invoke(
    agent: AgentArgument,
    content: InputArgument = None,
    version: Annotated[
        str | None, typer.Option(help="Ask this version, in a session of its own that is deleted afterwards.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Ask in this session; with --version, made if need be.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Ask within this conversation of Responses.")] = None,
    user: Annotated[str | None, typer.Option(help="Ask on behalf of this user; needs the right to.")] = None,
    invocations: Annotated[bool, typer.Option("--invocations", help="Send INPUT as JSON by Invocations.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Show the answer as it comes.")] = False,
    patient: Annotated[
        bool, typer.Option("--patient", help="Ask again while a sandbox wakes; it may be asked twice.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end of a call that goes on.")] = True,
    poll: Annotated[str | None, typer.Option(metavar="INVOCATION", help=f"{_LONG}wait for its end.")] = None,
    cancel: Annotated[str | None, typer.Option(metavar="INVOCATION", help=f"{_LONG}end it.")] = None,
    timeout: Annotated[
        timedelta | None,
        typer.Option("--timeout", parser=parse_span, metavar="SPAN", help="Wait no longer; else 150s, 30m for a poll."),
    ] = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
) -> int:
    """Call an agent, by Responses or by Invocations, whole or as a stream.

    The answer goes to stdout; who gave it, in which session, to stderr. A call that the agent accepts and goes on
    with is polled to its end. Without --session and --version the routing decides who answers.
    """
    from foundry_rollouts.cli.agent.call import Manner, call, call_again
    from foundry_rollouts.foundry.invocations import AnswerTimeoutError, Question
    from foundry_rollouts.foundry.long_calls import LongCall
    from foundry_rollouts.foundry.polling import WaitTimeoutError

    if sum(each is not None for each in (content, poll, cancel)) != 1:
        raise UsageError("what to do: give INPUT to ask, or --poll or --cancel with the id of a call")
    if stream and patient:
        raise UsageError("a stream is asked for once: leave out --patient or --stream")
    manner = Manner(stream, patient, wait, timeout)
    try:
        async with project(project_endpoint, credential) as cloud:
            if content is None:
                return await call_again(cloud, LongCall(agent, str(poll or cancel), session), manner, ends=bool(cancel))
            question = Question(agent, content_of(content, as_json=invocations), session, conversation, user)
            return await call(cloud, question, version, manner)
    except (AnswerTimeoutError, WaitTimeoutError) as error:
        say(f"error: {error}: wait longer with --timeout", err=True)
        return TIMED_OUT


def content_of(text: str, *, as_json: bool) -> object:
    """Return what to send. Raises UsageError for JSON that Invocations does not take."""
    import json

    if text == "-":
        text = typer.get_text_stream("stdin").read()
    if not as_json:
        return text
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageError(f"INPUT is no JSON, {error}: --invocations sends an object or a list") from None
    if isinstance(content, str):
        raise UsageError("INPUT is a JSON string: --invocations sends an object or a list, Responses takes text")
    return content
