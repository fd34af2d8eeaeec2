"""``foundry-rollouts rollout pause`` and its like: what people ask of a rollout.

Each verb reads the rollout first, shows its state, and names the generation it saw: when somebody else was
quicker, the service refuses instead of obeying two people at once.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundry_rollouts.cli.commands import Command, examples, waits
from foundry_rollouts.cli.options import (
    DEFAULT_SERVER,
    AgentOption,
    RolloutArgument,
    ServerOption,
    TimeoutOption,
    user,
)
from foundry_rollouts.cli.output import say
from foundry_rollouts.core.model.command import Verb

if TYPE_CHECKING:
    from foundry_rollouts.cli.api import Json, OpsApi

LAST = 50  #: Rollouts of an agent among which the one that ended last is searched.

#: What each verb asks for, and a reason as somebody may give it.
VERBS = {
    Verb.APPROVE.value: (Verb.APPROVE.effect, "checked with the support team"),
    Verb.PAUSE.value: (Verb.PAUSE.effect, "incident 4711"),
    Verb.RESUME.value: (Verb.RESUME.effect, "incident 4711 is over"),
    Verb.PROMOTE.value: (Verb.PROMOTE.effect, "hotfix"),
    Verb.ABORT.value: (Verb.ABORT.effect, "wrong version"),
    "acknowledge": ("Say that you know that a rollout ended badly", "ticket 4711"),
    "retry": ("Try the canary of an ended rollout again, in a new rollout", "the database was down"),
}

#: Verbs after which a rollout goes on to an end that somebody may wait for.
AWAITED = frozenset({Verb.APPROVE.value, Verb.RESUME.value, Verb.PROMOTE.value, "retry"})


def add_verbs(group: typer.Typer) -> None:
    """Add a command for each verb."""
    for verb, (summary, reason) in VERBS.items():
        epilog = examples(
            f"foundry-rollouts rollout {verb} --agent support-eu",
            f'foundry-rollouts rollout {verb} 01jd2m3n4p5q6r7s8 --reason "{reason}"',
        )
        group.command(verb, cls=Command, help=f"{summary}.", epilog=epilog)(_command(verb))


async def _meant(api: "OpsApi", verb: str, rollout: str | None, agent: str | None) -> "Json":
    """Return the rollout that is meant; of an agent with several, the current one, and say so."""
    if agent is None or rollout is not None:
        return await api.named(rollout, agent)
    if verb == "retry":
        return await _last_ended(api, agent)
    if verb == "acknowledge":
        return await _unacknowledged(api, agent)
    seen = await api.named(None, agent)
    known = await api.in_hand(agent)
    if known and known["queued"]:
        others = "another one waits" if known["queued"] == 1 else f"{known['queued']} others wait"
        say(
            f"{others} behind it; 'foundry-rollouts rollout list --agent {agent}' shows every one, an id names one",
            err=True,
        )
    return seen


@asynccontextmanager
async def _advised(verb: str, agent: str | None) -> AsyncIterator[None]:
    """Name the command that goes back without the service when an abort does not reach it."""
    from foundry_rollouts.errors import UnavailableError

    try:
        yield
    except UnavailableError as error:
        if verb != "abort" or "agent route" in str(error):
            raise
        back = f"'foundry-rollouts agent route {agent or 'AGENT'} STABLE=100' goes back without the service"
        raise UnavailableError(f"{error}; nothing was asked. {back}") from None


async def _last_ended(api: "OpsApi", agent: str) -> "Json":
    """Return the rollout of ``agent`` that ended last, for that is the one to be tried again."""
    ended = [each for each in await api.rollouts(agent, None, LAST) if each["ended_at"]]
    return max(ended, key=lambda each: str(each["ended_at"])) if ended else await api.named(None, agent)


async def _unacknowledged(api: "OpsApi", agent: str) -> "Json":
    """Return the rollout of ``agent`` that ended badly and nobody acknowledged."""
    from foundry_rollouts.errors import NotFoundError

    known = await api.in_hand(agent)
    if known is None or not known.get("unacknowledged"):
        raise NotFoundError(f"nothing of agent {agent} waits to be acknowledged; an id names one rollout")
    return await api.rollout(str(known["unacknowledged"]["id"]))


ReasonOption = Annotated[str | None, typer.Option(help="The reason, for the history.")]
AuthorOption = Annotated[str | None, typer.Option(help="Who asks, for the history; else the user here.")]
GenerationOption = Annotated[int | None, typer.Option(min=1, help="The generation you saw; else the current one.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code says how it ended.")]


def _command(verb: str) -> Callable[..., object]:
    return _that_may_wait(verb) if verb in AWAITED else _that_acts(verb)


def _that_acts(verb: str) -> Callable[..., object]:
    @waits
    async def ask(
        rollout: RolloutArgument = None,
        agent: AgentOption = None,
        reason: ReasonOption = None,
        author: AuthorOption = None,
        generation: GenerationOption = None,
        server: ServerOption = DEFAULT_SERVER,
    ) -> None:
        from foundry_rollouts.cli.api import OpsApi

        async with OpsApi.at(server) as api, _advised(verb, agent):
            await _ask(api, verb, await _meant(api, verb, rollout, agent), _wish(generation, reason, author))

    ask.__name__ = verb
    return ask


def _that_may_wait(verb: str) -> Callable[..., object]:
    @waits
    async def ask(
        rollout: RolloutArgument = None,
        agent: AgentOption = None,
        reason: ReasonOption = None,
        author: AuthorOption = None,
        generation: GenerationOption = None,
        wait: WaitOption = False,
        timeout: TimeoutOption = None,
        server: ServerOption = DEFAULT_SERVER,
    ) -> int:
        from foundry_rollouts.cli.api import OpsApi
        from foundry_rollouts.cli.wait import wait_for_end
        from foundry_rollouts.errors import UsageError

        if timeout and not wait:
            raise UsageError("--timeout says how long to wait: add --wait")
        async with OpsApi.at(server) as api:
            seen = await _meant(api, verb, rollout, agent)
            now = await _ask(api, verb, seen, _wish(generation, reason, author))
            return await wait_for_end(api, str(now["id"]), timeout) if wait else 0

    ask.__name__ = verb
    return ask


def _wish(generation: int | None, reason: str | None, author: str | None) -> dict[str, Any]:
    return {"generation": generation, "reason": reason, "author": author or user()}


async def _ask(api: "OpsApi", verb: str, seen: "Json", wish: dict[str, Any]) -> "Json":
    """Ask ``verb`` of the rollout as it was ``seen``, say what came of it, and return the rollout that goes on."""
    say(
        f"rollout {seen['id']} of {seen['agent']} version {seen['canary']} is {seen['phase']}, "
        f"generation {seen['generation']}: {seen['because']}"
    )
    now = await api.command(str(seen["id"]), verb, {**wish, "generation": wish["generation"] or seen["generation"]})
    if verb == "acknowledge":
        known = now["acknowledged"]
        say(str(now.get("answer") or f"{known['by']} acknowledged it at {known['at']}"))
    elif now["id"] == seen["id"]:
        say(str(now.get("answer") or f"asked to {verb}; the next tick carries it out"))
    else:
        say(f"rollout {now['id']} tries version {now['canary']} again")
    return now
