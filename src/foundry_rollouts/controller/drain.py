"""Live sessions of a version that was taken back: a weight of nothing divides new sessions only."""

import asyncio
from datetime import timedelta

import structlog

from foundry_rollouts.core.policy import SessionsOnRollback
from foundry_rollouts.core.rollout import Phase, Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import Sessions

log = structlog.get_logger()

#: How long the end of sessions may keep the history waiting, and how many are stopped at once.
PATIENCE, AT_ONCE = timedelta(seconds=20), 8


async def end_sessions(sessions: Sessions, rollout: Rollout | None) -> None:
    """Stop the canary's live sessions after a rollback, where the policy wants it; the next call re-binds them.

    This comes before the record, so that whoever settles the rollback after a crash does it too; what is stopped
    already stays so.
    """
    if rollout is None or rollout.phase not in {Phase.ROLLED_BACK, Phase.DISABLED}:
        return
    if rollout.policy.sessions_on_rollback is not SessionsOnRollback.STOP:
        return
    troubles: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            live, places = await _live(sessions, rollout), asyncio.Semaphore(AT_ONCE)
            ends = await asyncio.gather(*(_stop(sessions, rollout.agent, session, places) for session in live))
            troubles = [end for end in ends if end]
            log.info("sessions.stopped", agent=rollout.agent, version=rollout.canary, count=len(live) - len(troubles))
    except CloudError as error:
        troubles = [str(error)]
    except TimeoutError:
        troubles = [f"not all could be stopped within {PATIENCE.seconds} s"]
    if troubles:
        log.warning("sessions.left", agent=rollout.agent, version=rollout.canary, because=troubles[0])


async def _live(sessions: Sessions, rollout: Rollout) -> list[str]:
    found = sessions.sessions(rollout.agent)
    return [each.id async for each in found if each.version == rollout.canary and each.status.is_live]


async def _stop(sessions: Sessions, agent: str, session: str, places: asyncio.Semaphore) -> str | None:
    """Stop one session; return why it was left. One that refuses does not keep the others."""
    async with places:
        try:
            await sessions.stop_session(agent, session)
        except CloudError as error:
            return str(error)
        return None
