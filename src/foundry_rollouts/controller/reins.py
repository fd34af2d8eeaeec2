"""What keeps a rollout from starting and rising now: the facts, read for each tick.

The policy that names the agent now has the word, so that a freeze that is written during a rollout holds it.
"""

from datetime import datetime

from foundry_rollouts.core.deciding.reins import Rein, ReinKind, rein_of
from foundry_rollouts.core.deciding.transition import Transition
from foundry_rollouts.core.model.calendar import Calendar, closed_at, instant
from foundry_rollouts.core.model.decision import Move
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import UsageError
from foundry_rollouts.ports import Admission, World


async def reins_of(world: World, rollout: Rollout, now: datetime) -> tuple[Rein, ...]:
    """Return all that holds ``rollout`` at ``now``."""
    policy = policy_of(world, rollout)
    found = [await _closed(world, policy.calendar, f"policy {policy.name}", now)]
    if world.calendars is not None:
        of_all = await world.calendars.of_all()
        if isinstance(of_all, str):
            because = f"the calendar of all agents cannot be read ({of_all}), and it may be a freeze"
            found.append(Rein(ReinKind.FREEZE, because, "a calendar that can be read"))
        else:
            found.append(await _closed(world, of_all, "the calendar of all agents", now))
    others = await world.fleet.reins(rollout, policy, now) if world.fleet is not None and not rollout.step else ()
    braked = await _braked(world, rollout, now)
    return (*(rein for rein in found if rein is not None), *braked, *others)


def admission_of(world: World, step: Transition, now: datetime) -> Admission | None:
    """Return what decides about a start at the last moment; None where ``step`` is none, or nothing could hold it."""
    if world.fleet is None or step.decision.move is not Move.START or step.is_observed:
        return None
    return world.fleet.admission(step.before, policy_of(world, step.before), now)


async def _braked(world: World, rollout: Rollout, now: datetime) -> list[Rein]:
    """Return what people stopped or hold: facts that are read for all agents at once."""
    brakes = await world.brakes.standing(now) if world.brakes is not None else ()
    return [rein_of(brake) for brake in brakes if brake.is_on(now) and brake.keeps(rollout.agent, rollout.canary)]


async def _closed(world: World, calendar: Calendar, whose: str, now: datetime) -> Rein | None:
    if not calendar.windows and not calendar.freezes:
        return None
    files = await world.calendars.read(calendar, now) if world.calendars is not None and calendar.files else {}
    closed = closed_at(calendar, now, files)
    if closed is None:
        return None
    kind = ReinKind.FREEZE if closed.is_freeze else ReinKind.HOURS
    until = f", at {instant(closed.until)}" if closed.until else ""
    what = "the freeze to end" if closed.is_freeze else "hours in which rollouts may begin and rise"
    return Rein(kind, f"{closed.because} ({whose})", f"{what}{until}")


def policy_of(world: World, rollout: Rollout) -> Policy:
    """Return the policy that names the agent now; that of the rollout where none does, or two do equally."""
    try:
        return world.policies.policy_for(rollout.agent) or rollout.policy
    except UsageError:
        return rollout.policy
