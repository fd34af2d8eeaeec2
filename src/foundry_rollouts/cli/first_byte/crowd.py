"""A database with many agents: most of them quiet, some with a rollout in progress, some that nobody acknowledged.

The rollouts in progress that a page shows first have evidence, and some of the quiet agents had a rollout before.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.event import of_rollout
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import AgentKnown
from foundry_rollouts.store import measurements
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore

#: The moment at which everything is asked for.
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
STABLE, CANARY = "6", "7"
AGE = timedelta(minutes=10)  #: Of each rollout.
WEIGHED = 50  #: Rollouts in progress that have evidence: as many as a page shows.
BECAUSE = {
    Phase.PROGRESSING: "the canary takes its first step",
    Phase.ROLLED_BACK: "the canary fails more than stable does",
    Phase.PROMOTED: "the canary is proved at every weight",
}
MEASURED = (
    Measurement("outcomes", Window(NOW - AGE, NOW), Counts(900, 9, heard=900), Counts(100, 1, heard=100)),
    Measurement("probe", Window(NOW - AGE, NOW), Counts(60, heard=60), Counts(60, heard=60)),
)
WORDS = ("billing", "claims", "orders", "returns", "search", "support", "travel", "voice")


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many agents there are, and how many of them are not quiet."""

    agents: int = 10_000
    moving: int = 300  #: With a rollout in progress.
    unacknowledged: int = 20  #: Whose last rollout was rolled back, and nobody said that they know.
    promoted: int = 500  #: Whose last rollout was promoted: they are quiet.
    seed: int = 1


async def fill(store: SqlStore, crowd: Crowd, policy: Policy) -> str:
    """Fill an empty database, and return the id of a rollout in progress."""
    dice = random.Random(crowd.seed)  # noqa: S311 - nobody must not guess it
    names = [f"{dice.choice(WORDS)}-{number:05}" for number in range(crowd.agents)]
    phases = [Phase.PROGRESSING] * crowd.moving + [Phase.ROLLED_BACK] * crowd.unacknowledged
    phases += [Phase.PROMOTED] * crowd.promoted
    had = dict(zip(dice.sample(names, len(phases)), phases, strict=True))
    await store.see_agents([_agent(name, policy, had.get(name)) for name in names], NOW)
    for name, phase in had.items():
        rollout = _rollout(name, policy, dice, phase)
        await store.create(rollout, of_rollout(rollout, "rollout.started", rollout.because, NOW - AGE), None)
    return f"rollout-of-{next(iter(had))}"


def _agent(name: str, policy: Policy, had: Phase | None) -> AgentKnown:
    weights = {STABLE: 90, CANARY: 10} if had is Phase.PROGRESSING else {STABLE: 100}
    return AgentKnown(name, latest=CANARY, latest_status="active", routing=Routing.of(weights), policy=policy.name)


def _rollout(name: str, policy: Policy, dice: random.Random, phase: Phase) -> Rollout:
    began = NOW - AGE
    is_moving = phase is Phase.PROGRESSING
    return Rollout(
        id=f"rollout-of-{name}",
        agent=name,
        canary=CANARY,
        stable=STABLE,
        policy=policy,
        created_at=began - timedelta(seconds=dice.randrange(1, 60) if is_moving else dice.randrange(60, 86_400)),
        phase=phase,
        step=len(policy.steps) if phase is Phase.PROMOTED else 1,
        because=BECAUSE[phase],
        started_at=began,
        step_started_at=began,
        ended_at=None if is_moving else NOW,
    )


async def weigh(database: Database, store: SqlStore) -> None:
    """Record of the first rollouts in progress, by the names of their agents, what a first tick measured."""
    moving = sorted((queue.in_hand for queue in (await store.in_hand()).values() if queue.in_hand), key=_agent_of)
    async with database.writing() as connection:
        for rollout in moving[:WEIGHED]:
            evidence = judge(rollout, initial(rollout.policy), MEASURED, NOW).evidence
            await measurements.save_evidence(connection, rollout.id, evidence)
            await measurements.save_measurements(connection, rollout.id, MEASURED)


def _agent_of(rollout: Rollout) -> str:
    return rollout.agent
