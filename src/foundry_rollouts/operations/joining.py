"""Starting a rollout, or joining the one of that version which is on trial or queued already."""

from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import ConflictError, OnTrialError
from foundry_rollouts.operations.start import Start, start
from foundry_rollouts.operations.versions import UNCHECKED
from foundry_rollouts.ports import Catalogue, Policies, RolloutFilter, Store


@dataclass(frozen=True, slots=True)
class Started:
    """The rollout that was asked for; ``answer`` says what the caller would not expect."""

    rollout: Rollout
    joined: bool = False
    answer: str | None = None


async def start_or_join(
    store: Store, policies: Policies, wanted: Start, now: datetime, catalogue: Catalogue | None = None
) -> Started:
    """Create a rollout, or return the unfinished one of that version.

    Raises as ``start`` does, and ConflictError when that one goes by another policy than the one that is named.
    """
    try:
        made = await start(store, policies, wanted, now, catalogue)
    except OnTrialError:
        running = await on_trial(store, wanted.agent, wanted.version)
        if running is None:
            raise
    else:
        return Started(made, answer=made.because if UNCHECKED in made.because else None)
    if wanted.policy not in {None, running.policy.name}:
        raise ConflictError(
            f"version {running.canary} of agent {running.agent} is on trial already under policy {running.policy.name}:"
            f" rollout {running.id} is {running.phase}; abort it to start one under another policy"
        )
    answer = f"version {running.canary} of agent {running.agent} is on trial already: joined rollout {running.id}"
    return Started(running, joined=True, answer=answer)


async def on_trial(store: Store, agent: str, version: str) -> Rollout | None:
    """Return the unfinished rollout of ``version``; None when there is none."""
    found = await store.rollouts(RolloutFilter(agent=agent, canary=version, is_unfinished=True, limit=1))
    return found[0] if found else None
