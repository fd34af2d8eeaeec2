"""Waiting for the end of a rollout: shown live on a terminal, as plain lines in a pipe, with a verdict for scripts."""

import asyncio
import sys
from datetime import timedelta

from foundry_rollouts.cli.api import DeniedError, Json, OpsApi
from foundry_rollouts.cli.errors import ENDED_BADLY, TIMED_OUT
from foundry_rollouts.cli.follow import Lines
from foundry_rollouts.cli.interrupt import interruptible
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import NotFoundError, RolloutsError, UnavailableError


async def wait_for_end(api: OpsApi, rollout: str, timeout: timedelta | None, *, is_quiet: bool = False) -> int:
    """Show the rollout until it has ended and return the exit code that tells how, or that time ran out.

    ``is_quiet`` leaves stdout to the caller: progress goes to stderr.
    """
    how = f"it continues, follow it with 'foundry-rollouts rollout watch {rollout}'"
    stop = f"stop it with 'foundry-rollouts rollout abort {rollout}'"
    try:
        with interruptible(lambda: f"rollout {rollout} was not: {how}, {stop}"):
            async with asyncio.timeout(timeout.total_seconds() if timeout else None):
                ended = await _show_until_end(api, rollout, is_quiet)
    except TimeoutError:
        return await _tell_timeout(api, rollout, how)
    except (DeniedError, NotFoundError, UnavailableError) as error:
        raise RolloutsError(f"{error}; how rollout {rollout} ends is unknown: {how}") from error
    return code_of_end(ended)


def code_of_end(ended: Json) -> int:
    """Return the exit code for how a rollout ended; report a bad end with its reason."""
    if ended["phase"] in {"promoted", "observed"}:
        return 0
    say(f"error: version {ended['canary']} of {ended['agent']} is {phase_of(ended)}: {ended['because']}", err=True)
    return ENDED_BADLY


async def _show_until_end(api: OpsApi, rollout: str, is_quiet: bool) -> Json:
    if sys.stdout.isatty() and not is_quiet:
        from foundry_rollouts.cli.live import follow_live, is_lively

        if is_lively():
            return await follow_live(api, rollout)
    return await Lines(lambda line: say(line, err=is_quiet)).follow(api, rollout)


async def _tell_timeout(api: OpsApi, rollout: str, how: str) -> int:
    try:
        async with asyncio.timeout(5):
            now = await api.rollout(rollout)
            where = f"{phase_of(now)} at step {now['step']} of {now['steps']}"
            where += f", waiting for {now['waiting_for']}" if now.get("waiting_for") else ""
    except (UnavailableError, TimeoutError):
        where = "unknown, because the service does not answer"
    say(f"error: the wait for rollout {rollout} timed out while it was {where}: {how}", err=True)
    return TIMED_OUT


def phase_of(rollout: Json) -> str:
    """Return the phase in words."""
    return str(rollout["phase"]).replace("_", " ")
