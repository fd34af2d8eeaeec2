"""Which rollout a command means: that of an id, the current one of an agent, or the one of a version that may come."""

import asyncio
from datetime import timedelta

import typer

from foundry_rollouts.cli.api import Json, OpsApi
from foundry_rollouts.cli.errors import TIMED_OUT
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import UsageError

BETWEEN_LOOKS = timedelta(seconds=1)
#: How long a command that only shows waits for the rollout of a version.
SOON = timedelta(minutes=1)


async def meant(
    api: OpsApi, rollout: str | None, agent: str | None, version: str | None, timeout: timedelta | None
) -> Json:
    """Return the rollout that is meant; wait until there is one of ``version``, at most ``timeout``.

    Raises UsageError unless one is named, typer.Exit with the code of a wait that timed out.
    """
    if version is None:
        return await api.named(rollout, agent)
    if rollout is not None or agent is None:
        raise UsageError("--version needs --agent NAME, and no id: the rollout of that version is meant")
    try:
        async with asyncio.timeout(timeout.total_seconds() if timeout else None):
            return await _trial(api, agent, version)
    except TimeoutError:
        say(
            f"error: the wait timed out, agent {agent} has no rollout of version {version}: start it with"
            f" 'foundry-rollouts rollout start --agent {agent} --version {version}'",
            err=True,
        )
        raise typer.Exit(TIMED_OUT) from None


async def _trial(api: OpsApi, agent: str, version: str) -> Json:
    is_told = False
    while (found := await api.trial(agent, version)) is None:
        if not is_told:
            say(f"agent {agent} has no rollout of version {version} yet: waiting until there is one", err=True)
        is_told = True
        await asyncio.sleep(BETWEEN_LOOKS.total_seconds())
    return await api.rollout(str(found["id"]))
