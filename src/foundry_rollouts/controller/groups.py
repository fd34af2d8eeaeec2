"""The group of an agent, as its rollouts stand: read only where a policy names one."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from foundry_rollouts.controller.reins import policy_of
from foundry_rollouts.core.deciding.groups import GroupSeen, Member
from foundry_rollouts.core.deciding.queue import in_hand
from foundry_rollouts.core.deciding.transition import Transition
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import StoreError, UsageError
from foundry_rollouts.ports import World


async def group_of(world: World, rollout: Rollout) -> GroupSeen | None:
    """Return the group of ``rollout``; None where it moves by itself.

    The policy that names an agent now has the word, so that an agent can be taken out of a group. What is only observed
    takes no part, and nobody waits for it.
    """
    policy = policy_of(world, rollout)
    group = policy.group
    if group is None or rollout.is_revert or policy.observes or rollout.policy.observes:
        return None
    policies = {name: _policy_for(world, name) for name in group.others(rollout.agent)}
    names = [name for name, its in policies.items() if its is None or not its.observes]
    if not names:
        return None
    try:
        found = await world.store.members(names, rollout.in_group.run)
    except StoreError as error:  # What is wrong with another agent's rollout keeps nobody from going back.
        return GroupSeen(group.name, (), str(error))
    named = {name for name, its in policies.items() if its and its.group and its.group.name == group.name}
    return GroupSeen(group.name, tuple(_member(name, found, rollout, is_named=name in named) for name in names))


def _member(name: str, found: Sequence[Rollout], rollout: Rollout, *, is_named: bool) -> Member:
    its = [each for each in found if each.agent == name]
    of_run = next((each for each in its if each.id in rollout.in_group.run), None)
    return Member(name, in_hand(each for each in its if not each.phase.is_final), of_run, is_named)


def _policy_for(world: World, agent: str) -> Policy | None:
    try:
        return world.policies.policy_for(agent)
    except UsageError:
        return None


async def wake_group(world: World, step: Transition, now: datetime) -> None:
    """Let the others of a group check at once what ``step`` means for them."""
    before, then = step.before, step.then
    if step.group is None or not (_has_moved(before, then) or _tells(before, then)):
        return
    current = {each.current.id: None for each in step.group.others if each.current is not None}
    await _wake(world, then, [*current, *(each for each in then.in_group.run if each not in current)], now)


async def wake_run(world: World, settled: Rollout, now: datetime) -> None:
    """Let the others of a run check at once what was settled after a restart; where there is none, nobody."""
    await _wake(world, settled, settled.in_group.run, now)


async def _wake(world: World, rollout: Rollout, ids: Sequence[str], now: datetime) -> None:
    """Wake the others. Nothing hangs on it: who is not woken checks when it is due."""
    with suppress(StoreError):
        for each in ids:
            if each != rollout.id:
                await world.store.wake(each, now)


def _has_moved(before: Rollout, then: Rollout) -> bool:
    return (before.step, before.phase) != (then.step, then.phase)


def _tells(before: Rollout, then: Rollout) -> bool:
    """Whether there is something for the others to go on with."""
    return then.in_group != before.in_group and then.in_group.ready_at is not None
