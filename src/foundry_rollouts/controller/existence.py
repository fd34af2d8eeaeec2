"""See whether what a trial compares is still there; a version that was deleted is no baseline."""

from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.deciding.loss import ORIGINAL
from foundry_rollouts.core.model.incarnation import is_another
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import VersionSeen, VersionStatus, World

GONE = {VersionStatus.DELETED, VersionStatus.DELETING}


@dataclass(frozen=True, slots=True)
class Compared:
    """What the cloud shows of the versions that a trial compares."""

    missing: tuple[str, ...]
    stable: VersionSeen | None  #: None: it is gone, or there is none.


async def compared(world: World, rollout: Rollout) -> Compared:
    """Return what the trial compares and the cloud does not show; raises CloudError when it cannot be asked.

    A stable version that was deleted and made again under its number is another one, and is missing like one that was
    deleted. Before the first weight only the stable version is asked for: the canary's own read says the rest.
    """
    missing: list[str] = []
    stable = await present(world, rollout.agent, rollout.stable) if rollout.stable is not None else None
    before = (rollout.stable_created_at, rollout.stable_content)
    if rollout.stable is not None and (stable is None or (rollout.step and is_made_again(before, stable))):
        missing.append(rollout.stable)
    if not rollout.step:
        return Compared(tuple(missing), stable)
    canary = await present(world, rollout.agent, rollout.canary)
    if canary is None:
        missing.append(rollout.canary)
    elif is_made_again((rollout.canary_created_at, rollout.canary_content), canary):
        missing.append(ORIGINAL)
    return Compared(tuple(missing), stable)


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


def is_made_again(before: tuple[datetime | None, str | None], seen: VersionSeen) -> bool:
    """Whether the version of that number is another one than before, by its time or its code."""
    created_at, content = before
    if is_another(created_at, seen.created_at):
        return True
    return content is not None and seen.content is not None and content.lower() != seen.content.lower()
