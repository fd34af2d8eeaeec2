"""A database with many agents: most of them quiet, some with a rollout in progress, some that nobody acknowledged."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from foundry_rollouts.core.model.event import of_rollout
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import AgentKnown
from foundry_rollouts.store.store import SqlStore

#: The moment at which everything is asked for.
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
STABLE, CANARY = "6", "7"
AGE = timedelta(minutes=10)  #: Of each rollout.
WORDS = ("billing", "claims", "orders", "returns", "search", "support", "travel", "voice")


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many agents there are, and how many of them are not quiet."""

    agents: int = 10_000
    moving: int = 300  #: With a rollout in progress.
    unacknowledged: int = 20  #: Whose last rollout was rolled back, and nobody said that they know.
    seed: int = 1


async def fill(store: SqlStore, crowd: Crowd, policy: Policy) -> str:
    """Fill an empty database, and return the id of a rollout in progress."""
    dice = random.Random(crowd.seed)  # noqa: S311 - nobody must not guess it
    names = [f"{dice.choice(WORDS)}-{number:05}" for number in range(crowd.agents)]
    busy = dice.sample(names, crowd.moving + crowd.unacknowledged)
    moving = set(busy[: crowd.moving])
    await store.see_agents([_agent(name, policy, is_moving=name in moving) for name in names], NOW)
    for name in busy:
        await _record(store, _rollout(name, policy, dice, is_moving=name in moving))
    return f"rollout-of-{busy[0]}"


def _agent(name: str, policy: Policy, *, is_moving: bool) -> AgentKnown:
    weights = {STABLE: 90, CANARY: 10} if is_moving else {STABLE: 100}
    return AgentKnown(name, latest=CANARY, latest_status="active", routing=Routing.of(weights), policy=policy.name)


def _rollout(name: str, policy: Policy, dice: random.Random, *, is_moving: bool) -> Rollout:
    began = NOW - AGE
    return Rollout(
        id=f"rollout-of-{name}",
        agent=name,
        canary=CANARY,
        stable=STABLE,
        policy=policy,
        created_at=began - timedelta(seconds=dice.randrange(1, 60) if is_moving else dice.randrange(60, 86_400)),
        phase=Phase.PROGRESSING if is_moving else Phase.ROLLED_BACK,
        step=1,
        because="the canary takes its first step" if is_moving else "the canary fails more than stable does",
        started_at=began,
        step_started_at=began,
        ended_at=None if is_moving else NOW,
    )


async def _record(store: SqlStore, rollout: Rollout) -> None:
    event = of_rollout(rollout, "rollout.started", rollout.because, rollout.started_at or NOW)
    await store.create(rollout, event, None)
