"""``foundry-rollouts rollout``: start rollouts, inspect them, wait for their end."""

import time
from datetime import timedelta
from typing import Annotated

import typer

from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.explain import EXPLAIN_EXAMPLES, explain
from foundry_rollouts.cli.options import (
    DEFAULT_SERVER,
    AgentOption,
    RolloutArgument,
    ServerOption,
    TimeoutOption,
    VersionOption,
    user,
)
from foundry_rollouts.cli.output import Column, Item, Output, OutputOption, column, say, show_item, show_items
from foundry_rollouts.core.model.rollout import Phase

rollout = group("Start, watch and control rollouts.")


def _phases(begun: str) -> list[str]:
    return [phase.value for phase in Phase if phase.value.startswith(begun)]


def _asked(item: Item) -> str:
    """Return what people asked and no tick has done yet."""
    return "; ".join(
        f"{each['author']} asked to {each['verb']} at {each['at']}" + (f": {each['reason']}" if each["reason"] else "")
        for each in item.get("open_commands") or ()
    )


def _acknowledged(item: Item) -> str:
    known = item.get("acknowledged")
    return f"by {known['by']} at {known['at']}" + (f": {known['reason']}" if known["reason"] else "") if known else ""


def _approvals(item: Item) -> str:
    """Return how many of how many approved the present step, who, and until when."""
    asked = item.get("approvals")
    if not asked:
        return ""
    by = f", by {' and '.join(asked['given'])}" if asked["given"] else ""
    until = f"; until {asked['until']}, then {asked['then']}" if asked["until"] else ""
    return f"{len(asked['given'])} of {asked['needed']}{by}{until}"


_LIST = (
    *map(column, ("id", "agent", "canary", "phase")),
    Column("step", lambda item: f"{item['step']}/{item['steps']}"),
    *map(column, ("weights", "held_by", "because")),
)
_WOULD_HAVE = (
    *map(column, ("id", "agent", "canary", "would_have")),
    Column("step", lambda item: f"{item['step']}/{item['steps']}"),
    *map(column, ("ended_at", "because")),
)
_SHOW = (
    *map(column, ("id", "agent", "canary", "stable", "policy", "mode", "phase", "would_have")),
    Column("step", lambda item: f"{item['step']} of {item['steps']}"),
    *map(column, ("weights", "generation", "verdict", "because", "waiting_for", "held_by", "author")),
    *map(column, ("created_at", "started_at", "ended_at")),
    Column("acknowledged", _acknowledged),
    Column("approvals", _approvals),
    Column("open_commands", _asked),
)
_HISTORY = tuple(map(column, ("at", "kind", "step", "weights", "author", "because")))


@rollout.command(
    "start",
    cls=Command,
    epilog=examples(
        "foundry-rollouts rollout start --agent support-eu --version 7",
        "foundry-rollouts rollout start --agent support-eu --version 7 --wait --timeout 2h",
    ),
)
@waits
async def start(
    agent: Annotated[str, typer.Option(help="The agent.")],
    version: Annotated[str, typer.Option(help="The version to try.")],
    policy: Annotated[str | None, typer.Option(help="The policy, if not the one that governs the agent.")] = None,
    author: Annotated[str | None, typer.Option(help="The author, for the history.")] = None,
    reason: Annotated[str | None, typer.Option(help="The reason, for the history.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code says how it ended.")] = False,
    timeout: TimeoutOption = None,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> int:
    """Start a rollout of a version, or join the unfinished one of that version.

    The version that was stable just before gets all new sessions at once, and is watched there.
    """
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.cli.wait import wait_for_end
    from foundry_rollouts.errors import UsageError

    if timeout and not wait:
        raise UsageError("--timeout says how long to wait: add --wait")
    async with OpsApi.at(server) as api:
        wanted = {"agent": agent, "version": version, "policy": policy, "author": author or user(), "reason": reason}
        started = await api.start(wanted)
        _say_started(started, is_document=output is not Output.TABLE)
        if output is Output.TABLE:
            return await wait_for_end(api, str(started["id"]), timeout) if wait else 0
        code = await wait_for_end(api, str(started["id"]), timeout, is_quiet=True) if wait else 0
        show_item(await api.rollout(str(started["id"])) if wait else started, (), output)
        return code


def _say_started(started: Item, *, is_document: bool) -> None:
    """Tell which rollout that is; beside a document, on stderr and only what the caller would not expect."""
    if started.get("answer"):
        say(str(started["answer"]), err=is_document)
    if not is_document:
        which = f"rollout {started['id']} of {started['agent']} version {started['canary']}"
        say(f"{which} is {started['phase']}")


@rollout.command(
    "list",
    cls=Command,
    epilog=examples(
        "foundry-rollouts rollout list",
        "foundry-rollouts rollout list --agent support-eu --phase rolled_back --output json",
        "foundry-rollouts rollout list --would-have",
    ),
)
@waits
async def list_rollouts(
    agent: Annotated[str | None, typer.Option(help="Only this agent.")] = None,
    phase: Annotated[
        str | None, typer.Option(help="Only this phase, for example progressing.", autocompletion=_phases)
    ] = None,
    would_have: Annotated[
        bool,
        typer.Option("--would-have", help="How rollouts ended that were only observed (mode: observe)."),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most to list.")] = 50,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """List rollouts, the newest first."""
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.errors import UsageError

    if would_have and phase not in {None, Phase.OBSERVED}:
        raise UsageError(f"--would-have lists rollouts that are {Phase.OBSERVED.value}: leave --phase out")
    phase, columns = (Phase.OBSERVED.value, _WOULD_HAVE) if would_have else (phase, _LIST)
    async with OpsApi.at(server) as api:
        show_items(await api.rollouts(agent, phase, limit), columns, output, "there are no such rollouts")


@rollout.command(
    "show",
    cls=Command,
    epilog=examples(
        "foundry-rollouts rollout show --agent support-eu",
        "foundry-rollouts rollout show 01jd2m3n4p5q6r7s8 --output yaml",
    ),
)
@waits
async def show(
    rollout: RolloutArgument = None,
    agent: AgentOption = None,
    version: VersionOption = None,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the state of a rollout."""
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.cli.naming import SOON, meant

    async with OpsApi.at(server) as api:
        show_item(await meant(api, rollout, agent, version, SOON), _SHOW, output)


@rollout.command(
    "watch",
    cls=Command,
    epilog=examples(
        "foundry-rollouts rollout watch --agent support-eu",
        "foundry-rollouts rollout watch 01jd2m3n4p5q6r7s8 --timeout 30m",
    ),
)
@waits
async def watch(
    rollout: RolloutArgument = None,
    agent: AgentOption = None,
    version: VersionOption = None,
    timeout: TimeoutOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> int:
    """Follow a rollout to its end; the exit code says how it ended."""
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.cli.naming import meant
    from foundry_rollouts.cli.wait import wait_for_end

    begun = time.monotonic()
    async with OpsApi.at(server) as api:
        which = await meant(api, rollout, agent, version, timeout)
        left = timeout and max(timeout - timedelta(seconds=time.monotonic() - begun), timedelta(milliseconds=1))
        return await wait_for_end(api, str(which["id"]), left)


@rollout.command(
    "history",
    cls=Command,
    epilog=examples(
        "foundry-rollouts rollout history --agent support-eu",
        "foundry-rollouts rollout history 01jd2m3n4p5q6r7s8 --output json",
    ),
)
@waits
async def history(
    rollout: RolloutArgument = None,
    agent: AgentOption = None,
    version: VersionOption = None,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what happened in a rollout, and why."""
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.cli.naming import SOON, meant

    async with OpsApi.at(server) as api:
        named: Item = await meant(api, rollout, agent, version, SOON)
        show_items(await api.history(str(named["id"])), _HISTORY, output, "nothing has happened yet")


rollout.command("explain", cls=Command, epilog=examples(*EXPLAIN_EXAMPLES))(explain)
