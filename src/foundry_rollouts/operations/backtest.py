"""What another policy would have made of the rollouts that have ended."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.replay.recorded import (
    BacktestOutcome,
    RecordedRollout,
    WeightChange,
    backtest,
    canary_tally,
)
from foundry_rollouts.ports import Readings, RolloutFilter

PAGE = 200  #: Rollouts that are read at once.
ALL = 10_000_000  #: More measurements than any rollout has.

#: The events after which the canary's weight, or a pause, counts.
MOVES = frozenset(
    f"rollout.{word}" for word in ("started", "advanced", "stepped_back", "paused", "resumed", "restored")
)


@dataclass(frozen=True, slots=True)
class BacktestView:
    """What happened in one rollout, and what would have happened. Seconds count from its start."""

    rollout: str
    agent: str
    canary: str
    policy: str  #: The one under which it happened.
    happened: Phase
    happened_after_seconds: float | None
    happened_canary_calls: int
    happened_canary_failures: int
    would: BacktestOutcome
    after_seconds: float | None
    weight: int  #: At which it would have happened; 0 when nothing was measured.
    canary_calls: int  #: Until then, and so are the failures.
    canary_failures: int
    because: str


async def backtests(
    store: Readings, policy: Policy, agent: str | None = None, page_size: int = PAGE
) -> AsyncIterator[BacktestView]:
    """Yield, newest first, what ``policy`` would have made of each rollout that has begun and ended."""
    which: RolloutFilter | None = RolloutFilter(agent=agent, limit=page_size)
    while which:
        page = await store.rollouts(which)
        for rollout in page:
            if rollout.phase.is_final and rollout.started_at:
                yield _view(await past_of(store, rollout), policy)
        which = replace(which, before=page[-1].id) if len(page) == page_size else None


async def past_of(store: Readings, rollout: Rollout) -> RecordedRollout:
    """Return what is recorded of ``rollout``."""
    moves = moves_of(rollout, await store.history(rollout.id))
    return RecordedRollout(rollout, moves, tuple(await store.measurements(rollout.id, ALL)))


def moves_of(rollout: Rollout, events: Sequence[Event]) -> tuple[WeightChange, ...]:
    """Return the changes of the canary's weight that the history of ``rollout`` holds."""
    return tuple(
        WeightChange(event.at, event.weights.get(rollout.canary, 0), event.step or 0, event.kind == "rollout.paused")
        for event in events
        if event.kind in MOVES and event.weights
    )


def _view(past: RecordedRollout, policy: Policy) -> BacktestView:
    rollout = past.rollout
    seen, would = canary_tally(past.measurements), backtest(past, policy)
    start = rollout.started_at
    return BacktestView(
        rollout=rollout.id,
        agent=rollout.agent,
        canary=rollout.canary,
        policy=rollout.policy.name,
        happened=rollout.phase,
        happened_after_seconds=(rollout.ended_at - start).total_seconds() if start and rollout.ended_at else None,
        happened_canary_calls=seen.canary_calls,
        happened_canary_failures=seen.canary_failures,
        would=would.would,
        after_seconds=(would.at - start).total_seconds() if start and would.at else None,
        weight=would.weight,
        canary_calls=would.canary_calls,
        canary_failures=would.canary_failures,
        because=would.because,
    )
