"""``foundry-rollouts rollout pause`` and its like: what people ask of a rollout.

Each verb looks at the rollout first, shows how it stands, and names the generation it saw: when somebody else was
quicker, the service refuses instead of obeying two people at once.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from foundry_rollouts.cli.commands import Command, examples, waits
from foundry_rollouts.cli.options import DEFAULT_SERVER, AgentOption, RolloutArgument, ServerOption, user

#: Each verb, what it asks for, and a reason as somebody may give it.
VERBS = {
    "approve": ("Approve the step that waits for a person.", "checked with the support team"),
    "pause": ("Keep the weights as they are; harm still leads back.", "incident 4711"),
    "resume": ("Go on after a pause.", "incident 4711 is over"),
    "promote": ("Take the next step now, without waiting for proof.", "hotfix"),
    "abort": ("Send all new traffic back to the stable version and end the rollout.", "wrong version"),
    "retry": ("Try the canary of an ended rollout again, in a new rollout.", "the database was down"),
}


def add_verbs(group: typer.Typer) -> None:
    """Add a command for each verb."""
    for verb, (summary, reason) in VERBS.items():
        epilog = examples(
            f"foundry-rollouts rollout {verb} --agent support-eu",
            f'foundry-rollouts rollout {verb} 01jd2m3n4p5q6r7s8 --reason "{reason}"',
        )
        group.command(verb, cls=Command, help=summary, epilog=epilog)(_command(verb))


def _command(verb: str) -> Callable[..., None]:
    @waits
    async def ask(
        rollout: RolloutArgument = None,
        agent: AgentOption = None,
        reason: Annotated[str | None, typer.Option(help="Why, for the history.")] = None,
        author: Annotated[str | None, typer.Option(help="Who asks, for the history; else the user here.")] = None,
        generation: Annotated[
            int | None, typer.Option(min=1, help="As you saw it; else as it is when this command looks.")
        ] = None,
        server: ServerOption = DEFAULT_SERVER,
    ) -> None:
        from foundry_rollouts.cli.api import OpsApi

        async with OpsApi.at(server) as api:
            seen = await api.named(rollout, agent)
            typer.echo(
                f"rollout {seen['id']} of {seen['agent']} version {seen['canary']} is {seen['phase']}, "
                f"generation {seen['generation']}: {seen['because']}"
            )
            wanted = {"generation": generation or seen["generation"], "reason": reason, "author": author or user()}
            now = await api.command(str(seen["id"]), verb, wanted)
            if now["id"] == seen["id"]:
                typer.echo(f"asked to {verb}; it is obeyed at the next tick (generation {now['generation']})")
            else:
                typer.echo(f"rollout {now['id']} tries version {now['canary']} again")

    ask.__name__ = verb
    return ask
