"""The end of a rollout, whoever caused it: what is counted then, and what is stopped."""

from datetime import datetime

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import World
from foundry_rollouts.telemetry import Metrics


async def finish_rollout(world: World, metrics: Metrics, rollout: Rollout, now: datetime) -> None:
    """Count an ended rollout, and let every source stop watching it."""
    metrics.ended(rollout, now)
    await stop_sources(world, rollout.id)


async def stop_sources(world: World, rollout: str) -> None:
    """Let every source stop watching: the rollout has ended, or another replica has it."""
    for source in world.sources:
        await source.release(rollout)
    if world.ready is not None:
        await world.ready.release(rollout)
