"""Following a rollout to its end: each event as it happens, through restarts of the service."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from foundry_rollouts.cli.api import Json, OpsApi
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import UnavailableError
from foundry_rollouts.untrusted import visible

FINAL = frozenset({"promoted", "rolled_back", "disabled", "superseded", "failed", "aborted"})
GIVE_UP_AFTER = timedelta(minutes=5)  #: A service that is away so long is not being restarted.
BETWEEN_TRIES = timedelta(seconds=1)


async def follow(api: OpsApi, rollout: str, tell: Callable[[Json], None]) -> Json:
    """Pass each event to ``tell`` until the rollout has ended; return it as it ended."""
    seen: str | None = None
    away = timedelta(0)
    while True:
        try:
            async for event in api.live(rollout, seen):
                seen, away = event["id"], timedelta(0)
                tell(event)
            now = await api.rollout(rollout)
        except UnavailableError as error:
            if seen is None or away >= GIVE_UP_AFTER:
                raise
            if not away:
                say(f"{error}; trying again for {GIVE_UP_AFTER.seconds // 60} minutes", err=True)
            away += BETWEEN_TRIES
        else:
            away = timedelta(0)
            # A service that is newer may know other ends.
            if now["phase"] in FINAL or now.get("ended_at"):
                return now
        await asyncio.sleep(BETWEEN_TRIES.total_seconds())


def line_of(event: Json) -> str:
    """Return an event as one plain line: time, kind, because."""
    return visible(f"{event['at']}  {event['kind']:<20}  {' '.join(str(event['because']).split())}")
