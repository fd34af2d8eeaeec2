"""See whether what a trial compares is still there; a version that was deleted is no baseline."""

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import VersionStatus, World

GONE = {VersionStatus.DELETED, VersionStatus.DELETING}


async def absent(world: World, rollout: Rollout) -> tuple[str, ...]:
    """Return which versions of the trial the cloud does not show; raises CloudError when it cannot be asked."""
    named = [version for version in (rollout.stable, rollout.canary) if version is not None]
    return tuple([version for version in named if await is_gone(world, rollout.agent, version)])


async def is_gone(world: World, agent: str, version: str) -> bool:
    """Whether the cloud shows ``version`` no more, or as deleted."""
    try:
        return (await world.cloud.version(agent, version)).status in GONE
    except CloudError as error:
        if error.is_missing:
            return True
        raise
