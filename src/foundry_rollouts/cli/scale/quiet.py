"""Many agents without a rollout: what it takes to watch them."""

from foundry_rollouts.cli.scale.cloud import name_of
from foundry_rollouts.cli.scale.crowd import facts_of, known
from foundry_rollouts.cli.scale.database import Measured
from foundry_rollouts.cli.scale.figures import Idle
from foundry_rollouts.cli.scale.stage import Stage
from foundry_rollouts.cli.scale.window import measured
from foundry_rollouts.clock import now
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.store.store import SqlStore

BATCH = 2_000  #: Agents that are written in one transaction.


async def watched_quietly(stage: Stage, store: SqlStore, database: Measured, agents: int, seconds: float) -> Idle:
    """Start a service that watches so many agents, and return what it takes over the window."""
    for place in range(0, agents, BATCH):
        names = [name_of(number) for number in range(place, min(place + BATCH, agents))]
        await store.see_agents([known(name, weight=0) for name in names], now(), is_whole=False)
    lease = await store.claim(name_of(0), now())
    if lease is None:
        raise RolloutsError("an agent is held by another replica: the database is not the bench's own")
    await store.record(lease, facts_of(name_of(0)))
    # What is known of one is known of all: to record each by itself would take longer than all that is measured.
    facts = "(SELECT stable, newest, marks FROM agents WHERE name = 'scale-000000')"
    await database.do(f"UPDATE agents SET (stable, newest, marks) = {facts}")  # noqa: S608 - nothing from outside
    await stage.ask_cloud(weight=0, agents=agents)
    service = await stage.start_service()
    level = await measured(stage, service, database, 0, seconds)
    await stage.end(service)
    return Idle(agents, level.memory_mib, level.core, level.healthz_p99_ms)
