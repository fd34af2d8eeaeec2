"""See whether what a trial compares is still there; a version that was deleted is no baseline."""

from foundry_rollouts.core.deciding.loss import ORIGINAL
from foundry_rollouts.core.model.incarnation import is_another
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import VersionSeen, VersionStatus, World

GONE = {VersionStatus.DELETED, VersionStatus.DELETING}


async def absent(world: World, rollout: Rollout) -> tuple[str, ...]:
    """Return what the trial compares and the cloud does not show; raises CloudError when it cannot be asked.

    Before the first weight that is the stable version only: the canary's own read says what becomes of it then.
    """
    missing: list[str] = []
    if rollout.stable is not None and await is_gone(world, rollout.agent, rollout.stable):
        missing.append(rollout.stable)
    if not rollout.step:
        return tuple(missing)
    canary = await present(world, rollout.agent, rollout.canary)
    if canary is None:
        missing.append(rollout.canary)
    elif _is_made_again(rollout, canary):
        missing.append(ORIGINAL)
    return tuple(missing)


async def is_gone(world: World, agent: str, version: str) -> bool:
    """Whether the cloud shows ``version`` no more, or as deleted."""
    return await present(world, agent, version) is None


async def present(world: World, agent: str, version: str) -> VersionSeen | None:
    """Return ``version`` as the cloud shows it; None when it is gone, or about to go."""
    try:
        seen = await world.cloud.version(agent, version)
    except CloudError as error:
        if error.is_missing:
            return None
        raise
    return None if seen.status in GONE else seen


def _is_made_again(rollout: Rollout, canary: VersionSeen) -> bool:
    """Whether the version of the canary's number is another one than at the start of the trial."""
    if is_another(rollout.canary_created_at, canary.created_at):
        return True
    before, now = rollout.canary_content, canary.content
    return before is not None and now is not None and before.lower() != now.lower()
