"""Waiting for the end of a rollout: shown live on a terminal, as plain lines in a pipe, with a verdict for scripts."""

import asyncio
import sys
from datetime import timedelta

from foundry_rollouts.cli.api import Json, OpsApi
from foundry_rollouts.cli.errors import ENDED_BADLY, TIMED_OUT
from foundry_rollouts.cli.follow import follow, line_of
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import UnavailableError


async def wait_for_end(api: OpsApi, rollout: str, timeout: timedelta | None, *, is_quiet: bool = False) -> int:
    """Show the rollout until it has ended and return the exit code that tells how, or that time ran out.

    ``is_quiet`` leaves stdout to the caller: progress goes to stderr.
    """
    try:
        async with asyncio.timeout(timeout.total_seconds() if timeout else None):
            ended = await _show_until_end(api, rollout, is_quiet)
    except TimeoutError:
        return await _tell_timeout(api, rollout)
    if ended["phase"] == "promoted":
        return 0
    say(f"error: version {ended['canary']} of {ended['agent']} is {_phase(ended)}: {ended['because']}", err=True)
    return ENDED_BADLY


async def _show_until_end(api: OpsApi, rollout: str, is_quiet: bool) -> Json:
    if sys.stdout.isatty() and not is_quiet:
        from foundry_rollouts.cli.live import follow_live

        return await follow_live(api, rollout)
    return await follow(api, rollout, lambda event: say(line_of(event), err=is_quiet))


async def _tell_timeout(api: OpsApi, rollout: str) -> int:
    try:
        async with asyncio.timeout(5):
            now = await api.rollout(rollout)
            where = f"{_phase(now)} at step {now['step']} of {now['steps']}"
            where += f", waiting for {now['waiting_for']}" if now.get("waiting_for") else ""
    except (UnavailableError, TimeoutError):
        where = "unknown, because the service does not answer"
    how = f"it continues, follow it with 'foundry-rollouts rollout watch {rollout}'"
    say(f"error: the wait for rollout {rollout} timed out while it was {where}: {how}", err=True)
    return TIMED_OUT


def _phase(rollout: Json) -> str:
    return str(rollout["phase"]).replace("_", " ")
