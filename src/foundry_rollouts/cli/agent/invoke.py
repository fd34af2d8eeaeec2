"""``agent invoke``: one call, as a person or a pipeline makes it."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

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
        'foundry-rollouts agent invoke support-eu "Where is my order?" --version-override 8',
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
    version_override: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|latest",
            help="Ask the endpoint to serve this one call by this version, whatever the weights say.",
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", "--session-id", help="Call in this session; with --version, create it if needed."),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", "--conversation-id", help="Call within this Responses conversation.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Call on behalf of this user; requires permission.")] = None,
    invocations: Annotated[bool, typer.Option("--invocations", help="Send INPUT as JSON by Invocations.")] = False,
    protocol: Annotated[
        Literal["responses", "invocations"] | None, typer.Option(help="The same choice, as azd has it.")
    ] = None,
    input_file: Annotated[Path | None, typer.Option("--input-file", "-f", help="Read INPUT from this file.")] = None,
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
    polled to its end. Without --session and --version the routing chooses the version. An answer that fails, is
    incomplete or breaks off is exit code 1, once what came of it is shown.

    Not every endpoint obeys --version-override, which always opens a new session. If the service falls back, another
    version serves, or the answer does not say which one did, that is exit code 1, too: the answer is shown, and the
    call is not repeated. --version opens a session by number and works everywhere.
    """
    from foundry_rollouts.cli.agent.call import Manner, call, call_again
    from foundry_rollouts.foundry.invocations import AnswerTimeoutError, Question
    from foundry_rollouts.foundry.long_calls import LongCall
    from foundry_rollouts.foundry.polling import WaitTimeoutError

    content = read_input(content, input_file)
    if sum(each is not None for each in (content, poll, cancel)) != 1:
        raise UsageError("what to do: give INPUT to ask, or --poll or --cancel with the id of a call")
    if stream and patient:
        raise UsageError("a stream is asked for once: leave out --patient or --stream")
    if version_override is not None and any((version, session, conversation, poll, cancel)):
        raise UsageError("--version-override is for a call in a new session: leave out the other, or use --version")
    if invocations and protocol == "responses":
        raise UsageError("one protocol at a time: leave out --invocations or --protocol")
    as_json = invocations or protocol == "invocations"
    manner = Manner(stream, patient, wait, timeout)
    try:
        async with project(project_endpoint, credential) as cloud:
            if content is None:
                return await call_again(cloud, LongCall(agent, str(poll or cancel), session), manner, ends=bool(cancel))
            asked = content_of(content, as_json=as_json)
            question = Question(agent, asked, session, conversation, user, version_override)
            return await call(cloud, question, version, manner)
    except (AnswerTimeoutError, WaitTimeoutError) as error:
        say(f"error: {error}: wait longer with --timeout", err=True)
        return TIMED_OUT


def read_input(given: str | None, file: Path | None) -> str | None:
    """Return INPUT as it is given, or as it stands in a file. Raises UsageError for both, and for what is no text."""
    if file is None:
        return given
    if given is not None:
        raise UsageError("INPUT is given twice: leave it out, or --input-file")
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"--input-file {file}: it is no UTF-8 text, {error.reason}") from None
    except OSError as error:
        raise UsageError(f"--input-file {file}: {error.strerror}") from None


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
