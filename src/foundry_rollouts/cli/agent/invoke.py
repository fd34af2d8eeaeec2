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

invoke_commands = group("Call agents.")

InputArgument = Annotated[
    str | None,
    typer.Argument(metavar="INPUT", help="What to ask: text, JSON with --invocations, - for standard input."),
]
_LONG = "For an accepted call: "


@invoke_commands.command(
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
        str | None, typer.Option(help="Call this version, in a session of its own that is deleted afterwards.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="Call in this session; with --version, create it if needed.")
    ] = None,
    conversation: Annotated[str | None, typer.Option(help="Call within this Responses conversation.")] = None,
    user: Annotated[str | None, typer.Option(help="Call on behalf of this user; requires permission.")] = None,
    invocations: Annotated[bool, typer.Option("--invocations", help="Send INPUT as JSON by Invocations.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Show the answer as it comes.")] = False,
    patient: Annotated[
        bool, typer.Option("--patient", help="Retry while a sandbox starts; the call may be made twice.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until a long call ends.")] = True,
    poll: Annotated[str | None, typer.Option(metavar="INVOCATION", help=f"{_LONG}wait for its end.")] = None,
    cancel: Annotated[str | None, typer.Option(metavar="INVOCATION", help=f"{_LONG}end it.")] = None,
    timeout: Annotated[
        timedelta | None,
        typer.Option(
            "--timeout", parser=parse_span, metavar="SPAN", help="The longest wait; else 150s, 30m for a poll."
        ),
    ] = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
) -> int:
    """Call an agent, by Responses or by Invocations, whole or as a stream.

    The answer goes to stdout; its version and session go to stderr. A call that the agent accepts and continues is
    polled to its end. Without --session and --version the routing chooses the version.
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
