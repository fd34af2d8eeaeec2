"""Which version users have, before a rollout begins and after a step of it."""

from dataclasses import replace

from foundry_rollouts.controller.observe import RECENT
from foundry_rollouts.core.deciding.adoption import adopted
from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.observing import stable_after
from foundry_rollouts.core.deciding.transition import Transition
from foundry_rollouts.core.judging.evidence import history_of
from foundry_rollouts.core.model.decision import Move
from foundry_rollouts.core.model.rollout import Phase, PriorCounts, Rollout
from foundry_rollouts.ports import RolloutFilter, Standing, Store


async def with_present_stable(store: Store, rollout: Rollout, standing: Standing) -> Rollout:
    """Before its start, a rollout goes by the version that is stable now: another one may have been promoted."""
    known = None if rollout.step else standing.known
    if known is None or known.stable is None:
        return rollout
    trial = await _trial_of_stable(store, rollout.agent, rollout.incarnation, known.stable)
    if rollout.is_revert and trial is not None and trial.stable == rollout.canary:
        created_at, content = trial.stable_created_at, trial.stable_content
        rollout = replace(rollout, canary_created_at=created_at, canary_content=content)
    else:
        rollout = replace(rollout, is_revert=False)
    return replace(rollout, stable=known.stable, prior_counts=await _prior_counts(store, trial))


async def stable_after_step(store: Store, step: Transition, seen: Situation) -> str | None:
    """Return the version that users have from now on; None when that stays as it is."""
    then, decision = step.then, step.decision
    if step.is_observed:
        return stable_after(then, decision, seen.routing)
    if decision.move is Move.PROMOTE:
        return then.canary
    if decision.move is Move.SUPERSEDE and not decision.goes_back and then.step and seen.routing:
        recent = RolloutFilter(agent=then.agent, incarnation=then.incarnation, limit=RECENT)
        return adopted(seen.routing, then.stable, await store.rollouts(recent))
    return None


async def _trial_of_stable(store: Store, agent: str, incarnation: int, stable: str) -> Rollout | None:
    """Return the trial that made the stable version so, when that was the last one that ended well."""
    promoted = RolloutFilter(agent=agent, phase=Phase.PROMOTED, incarnation=incarnation, limit=1)
    trials = await store.rollouts(promoted)
    return trials[0] if trials and trials[0].canary == stable else None


async def _prior_counts(store: Store, trial: Rollout | None) -> tuple[PriorCounts, ...]:
    """Return what the trial of the stable version showed of it."""
    return history_of(await store.evidence(trial.id)) if trial else ()
