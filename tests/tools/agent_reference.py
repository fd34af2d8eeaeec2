"""Writes ``docs/agent-commands.md`` out of the commands themselves: ``python -m tools.agent_reference``."""

from collections.abc import Iterator
from enum import Enum, EnumType
from typing import Any, Literal, get_args, get_origin

import typer

from foundry_rollouts.cli.app import app
from tools.repository import ROOT

EVERYWHERE = {"project_endpoint", "credential", "help"}  #: Options that the head of the page describes.
SLASHED = "\\|"  #: A bar that ends no cell.
PAGE = ROOT / "docs" / "agent-commands.md"

HEAD = """# Agent commands

What a release engineer does with agents, on the command line and in a pipeline. This page is generated from the
commands (`PYTHONPATH=tests .venv/bin/python -m tools.agent_reference`), and a test compares it with them.

The project and the credential come from `--project-endpoint` and `--credential`, else from
`FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT`, `FOUNDRY_PROJECT_ENDPOINT` or `AZURE_AI_PROJECT_ENDPOINT`, and from
`FOUNDRY_ROLLOUTS_CREDENTIAL`. An environment of azd sets the endpoint, once it is exported:
`export $(azd env get-values)`. Results go to stdout, progress and remarks to stderr.

An error is one line with the cloud's code, its message, the ids to name in a support ticket (request, region and
response) and the remedy. `--verbose` shows the ids of every answer, and the trace of an error. Without a login the one
line says how to sign in (exit code 1).

| exit code | meaning |
|---|---|
| 0 | success |
| 1 | an error: the cloud refused, an answer failed or broke off, the wrong version served, a draft became a release |
| 2 | wrong usage, a wrong setting, or a layout that cannot be deployed; nothing was sent |
| 3 | the version failed or is being deleted, or its rollout ended badly; `show --check`: nobody acknowledged that |
| 4 | a wait timed out; the operation continues |
| 130, 143 | Ctrl-C, SIGTERM: the wait ended; the operation continues |

When a controller manages the agent, a newly deployed version gets no traffic by itself: the endpoint is pinned, and a
rollout begins. Without a controller, an endpoint that follows the latest version serves it to all new sessions at once.
`agent deploy --rollout --wait` deploys, joins that rollout and follows it to its end;
[pipelines](../deploy/pipelines/README.md) are built on it.
[The samples](../deploy/samples/README.md) are agents to try this with.
"""


def reference() -> str:
    """Return the page as it should be."""
    group = typer.main.get_command(app).commands["agent"]  # type: ignore[attr-defined]
    return "\n".join([HEAD, *_below(group, "foundry-rollouts agent")])


def _below(group: Any, words: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(command, f"{words} {name}")
        else:
            yield from _section(command, f"{words} {name}")


def _section(command: Any, words: str) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    usage = " ".join([words, *(_usage(each) for each in arguments)])
    yield f"## {words.removeprefix('foundry-rollouts ')}\n\n```text\n{usage}\n```\n"
    for paragraph in (command.help or "").split("\n\n"):
        yield " ".join(paragraph.split()) + "\n"
    yield "| argument or option | what it is |\n|---|---|"
    for each in command.params:
        if each.name not in EVERYWHERE:
            yield f"| `{_name(each).replace('|', SLASHED)}` | {_meaning(each)} |"
    lines = [line.removeprefix("  ") for line in (command.epilog or "").splitlines()[1:]]
    yield "\n```sh\n" + "\n".join(lines) + "\n```\n"


def _usage(argument: Any) -> str:
    name = f"{argument.metavar}" + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    names = ", ".join([*sorted(parameter.opts, key=len, reverse=True), *parameter.secondary_opts])
    if parameter.is_flag:
        return names
    words = "|".join(_choices(parameter.type_descriptor.annotation))
    return f"{names} {words or parameter.metavar or parameter.name.upper().replace('_', '-')}"


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [str(each.value) for each in list[Enum](kind)] if isinstance(kind, EnumType) else []


def _meaning(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split())
    default = getattr(parameter.default, "value", parameter.default)
    if parameter.required:
        return f"{text} Required."
    shown = default is not None and not callable(default) and default is not False and "default:" not in text
    return f"{text} Default: `{str(default).lower() if default is True else default}`." if shown else text


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
