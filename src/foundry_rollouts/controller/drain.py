"""Live sessions of a version that was taken back: a weight of nothing divides new sessions only."""

import structlog

from foundry_rollouts.core.policy import SessionsOnRollback
from foundry_rollouts.core.rollout import Phase, Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import Sessions

log = structlog.get_logger()


async def end_sessions(sessions: Sessions, rollout: Rollout) -> None:
    """Stop the canary's live sessions after a rollback, where the policy wants it; the next call re-binds them."""
    is_wanted = rollout.policy.sessions_on_rollback is SessionsOnRollback.STOP
    if rollout.phase not in {Phase.ROLLED_BACK, Phase.DISABLED} or not is_wanted:
        return
    stopped = 0
    try:
        async for session in sessions.sessions(rollout.agent):
            if session.version == rollout.canary and session.status in {"active", "creating", "updating"}:
                await sessions.stop_session(rollout.agent, session.id)
                stopped += 1
    except CloudError as error:
        log.warning("sessions.left", agent=rollout.agent, version=rollout.canary, because=str(error))
    log.info("sessions.stopped", agent=rollout.agent, version=rollout.canary, count=stopped)
