"""What stories of a small world ask and read again and again."""

from foundry_rollouts.core.model.command import Command, Verb
from small_world import SmallWorld


async def ask(world: SmallWorld, verb: Verb) -> None:
    """Leave a command of a person for the rollout of ``world``."""
    store = world.open_as("api")
    rollout = await store.rollout(world.id)
    await store.accept(Command(f"c-{verb}", rollout.id, verb, rollout.generation, world.time, "kim", "so"))


async def kinds(world: SmallWorld) -> list[str]:
    """Return the kinds of the events so far."""
    return [kind.removeprefix("rollout.") for kind, *_ in await world.history()]


async def reach(world: SmallWorld, weight: int) -> None:
    """Tick until the canary has ``weight``."""
    for _ in range(12):
        if world.cloud.routing.weight("2") == weight:
            return
        await world.run(1)
    raise AssertionError(f"the canary never had {weight}%: {world.cloud.routing}")
