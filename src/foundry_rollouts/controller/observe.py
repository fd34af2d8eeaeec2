"""Look at the world once: the routing, the version, what people ask, what the sources counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.existence import LastReads, compared, is_made_again
from foundry_rollouts.controller.kinds import fitted, unmeasured
from foundry_rollouts.controller.new_versions import earlier_trial
from foundry_rollouts.controller.said import about
from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.loss import AGENT, losing, loss_of
from foundry_rollouts.core.deciding.unreadable import LEGIBLE
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.incarnation import number
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.new_versions import OnNewVersion
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing, arrived_late, drift_of, is_way_back, routing_of
from foundry_rollouts.errors import CloudError, NotFoundError, UsageError
from foundry_rollouts.ports import (
    AgentKnown,
    AgentSeen,
    RolloutFilter,
    Source,
    Standing,
    VersionSeen,
    VersionStatus,
    World,
)
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.tracing import span

log = structlog.get_logger()

#: A source that does not answer within this time is silent for this tick.
SOURCE_PATIENCE = timedelta(seconds=10)
#: How long after it was sent a change without an answer may pull a rollout back to an earlier weight and be known.
LATE_CHANGES = timedelta(minutes=10)
#: How many rollouts of an agent are searched for a change that is still on its way.
RECENT = 5


@dataclass(frozen=True, slots=True)
class Pass:
    """When a pass over an agent began, how far passes are apart, and what earlier ones read."""

    now: datetime
    tick_interval: timedelta
    reads: LastReads


async def observe(world: World, recorded: Rollout, standing: Standing, this: Pass) -> tuple[Rollout, Situation]:
    """Return the rollout with what was noticed of it, and all that a decision rests on beside what was measured.

    Versions are as one of the last passes read them, and the agent may be as a listing showed it: whoever changes
    something reads them again before.
    A cloud that cannot be read is named in the situation's ``cloud_error``.
    """
    now, in_force = this.now, _policy_in_force(world, recorded)
    seen = Situation(now, commands=standing.commands, tick_interval=this.tick_interval, policy_in_force=in_force)
    try:
        agent = await this.reads.agent(world, recorded, standing.known, now)
        if agent.unreadable is not None and recorded.step and not recorded.policy.observes:
            # What is asked stays open: it is obeyed once the routing can be read.
            return _with_losses(recorded, replace(seen, unreadable=_cannot_be_read(agent)))
        version = await world.cloud.version(recorded.agent, recorded.canary) if not recorded.step else None
        newer = await _newer(world, recorded, standing.queue.newest)
        there = await compared(world, recorded, this.reads, now)
    except UsageError as error:
        # A version that nobody can ask the cloud for: an earlier release took any text for one.
        failure = f"version {recorded.canary} does not exist: {error}"
        return _with_losses(recorded, replace(seen, failure=failure))
    except CloudError as error:
        return _unread(recorded, seen, error)
    noticed, note = fitted(version, losing(_with_versions(recorded, version, there.stable, now), there.missing, now))
    routing = agent.routing if agent.unreadable is None else None
    seen = replace(
        seen,
        routing=routing,
        drift=drift_of(noticed, routing),
        is_closed=routing is not None and not routing.is_open,
        late_change=await _late(world, noticed, agent.routing, now)
        if routing and not noticed.policy.observes
        else None,
        waits_for=_waits_for(noticed, version, agent) or _unlike_the_record(noticed, standing.known, agent),
        failure=_failure(noticed, version, agent, now),
        earlier=await _earlier(world, noticed),
        newer=newer,
        settings=agent.settings,
        notes=tuple(filter(None, (note, _no_way_back(recorded, noticed)))),
    )
    return _with_losses(noticed, seen)


def _policy_in_force(world: World, rollout: Rollout) -> str | None:
    """Return the hash of the policy that new rollouts get now, where somebody is asked to approve, or is next."""
    near = rollout.policy.steps[max(rollout.step - 1, 0) : rollout.step + 1]
    if not any(isinstance(step, ApprovalStep) for step in near):
        return None
    try:
        return policy_hash(world.policies.named(rollout.policy.name))
    except NotFoundError:
        return None


def _with_versions(rollout: Rollout, version: VersionSeen | None, stable: VersionSeen | None, now: datetime) -> Rollout:
    """Return the rollout with what was read of its versions: until the start, its trial is of those that are there.

    A version that was deleted and made again since it was stable is not the one to go back to.
    """
    if version is None:
        return rollout
    was_stable = (rollout.canary_created_at, rollout.canary_content)
    read = rollout.with_ending(version.version, version.status if version.status.is_end else None, now)
    return replace(
        read,
        is_revert=rollout.is_revert and not is_made_again(was_stable, version),
        canary_created_at=version.created_at,
        canary_content=version.content,
        stable_created_at=stable.created_at if stable else None,
        stable_content=stable.content if stable else None,
    )


def _no_way_back(recorded: Rollout, noticed: Rollout) -> str | None:
    """Say that what was asked for as a way back is none."""
    if noticed.is_revert or not recorded.is_revert:
        return None
    return f"version {noticed.canary} was deleted and made again since it was stable: it is tried like any other"


def _with_losses(rollout: Rollout, seen: Situation) -> tuple[Rollout, Situation]:
    """Return the rollout, and the situation with what of it is gone for sure."""
    loss = loss_of(rollout, seen.now)
    return rollout, replace(
        seen,
        is_gone=loss.agent,
        is_canary_gone=loss.canary,
        is_canary_made_again=loss.original,
        doubt=loss.doubt,
    )


def _unread(rollout: Rollout, seen: Situation, error: CloudError) -> tuple[Rollout, Situation]:
    """Return what is to be said of a cloud that does not show what was asked for, or cannot be asked."""
    if not error.is_missing:
        return _with_losses(
            rollout, replace(seen, cloud_error=f"the cloud cannot be read: {error}", waits_for="the cloud to answer")
        )
    if rollout.step:
        return _with_losses(losing(rollout, (AGENT,), seen.now), seen)
    # One such answer may be a flicker.
    ending = rollout.with_ending(rollout.canary, "missing", seen.now)
    is_over = ending.is_at_its_end(ending.canary, seen.now)
    failure = f"version {rollout.canary} does not exist: {error}" if is_over else None
    waits_for = f"a second read: version {rollout.canary} is not there ({error})"
    return _with_losses(ending, replace(seen, failure=failure, waits_for=waits_for))


async def _earlier(world: World, rollout: Rollout) -> str | None:
    """Say which trial the version had before; None when there was none, or a person asked for this one."""
    if rollout.step or rollout.author is not None:
        return None
    trial = await earlier_trial(world.store, rollout)
    return f"rollout {trial.id}, which is {trial.phase}" if trial else None


def _cannot_be_read(agent: AgentSeen) -> str:
    return f"the routing of agent {agent.name} cannot be read: {agent.unreadable}"


def _takes_places(newest: Rollout) -> bool:
    """Whether a newer version takes the place of an older one: where nothing is moved, users may have it already."""
    return newest.policy.observes or newest.policy.on_new_version is OnNewVersion.SUPERSEDE


async def _newer(world: World, rollout: Rollout, newest: Rollout | None) -> str | None:
    """Return the version that takes this one's place, once it is active; a build that fails displaces nobody.

    Neither does an older version that was asked for later, as by a pipeline whose version another one overtook.
    """
    if newest is None or not _takes_places(newest):
        return None
    ours, theirs = number(rollout.canary), number(newest.canary)
    if ours is not None and theirs is not None and theirs < ours:
        return None
    try:
        version = await world.cloud.version(rollout.agent, newest.canary)
    except UsageError:
        return None
    except CloudError as error:
        if error.is_missing:
            return None
        raise
    return newest.canary if version.status is VersionStatus.ACTIVE else None


def _waits_for(rollout: Rollout, version: VersionSeen | None, agent: AgentSeen) -> str | None:
    """Say what a pending rollout waits for; None when it may start."""
    if version is None:
        return None
    if agent.unreadable is not None:
        return f"{LEGIBLE}: {_cannot_be_read(agent)}"
    if version.status.is_end:
        return f"a second read: version {version.version} reads {version.status}, and one read ends nothing"
    if version.status is not VersionStatus.ACTIVE:
        return f"version {rollout.canary} to become active (it is {version.status_word})"
    if agent.disabled_by is not None:
        return f"the agent's identity: it is disabled by {agent.disabled_by}, and enabling the agent cannot help"
    if not agent.routing.is_open:
        return "the endpoint to be enabled: somebody disabled it"
    return None


def _unlike_the_record(rollout: Rollout, known: AgentKnown | None, agent: AgentSeen) -> str | None:
    """Say that a pending rollout waits for another hand's weights to go; None when it may start from those there."""
    if rollout.step or rollout.policy.observes or agent.routing == routing_of(rollout):
        return None
    if known is not None and known.is_as_recorded(agent.routing):
        return None
    return f"the routing to be as recorded: it is {agent.routing}, and version {rollout.stable} is the stable one"


def _failure(rollout: Rollout, version: VersionSeen | None, agent: AgentSeen, now: datetime) -> str | None:
    if version is None:
        return None
    if version.version == rollout.stable:
        return f"version {version.version} is the stable version already"
    if version.is_draft:
        return f"version {version.version} is a draft: drafts cannot take traffic, promote it to a release first"
    if version.status.is_end and rollout.is_at_its_end(version.version, now):
        return f"version {version.version} is {version.status}: {version.error or 'the cloud gives no reason'}"
    return None if rollout.is_revert else (unmeasured(version, rollout) or _mute(version, agent))


def _mute(version: VersionSeen, agent: AgentSeen) -> str | None:
    """Say which protocols of the endpoint a version does not speak; one that declares nothing is not judged by it."""
    if version.protocols is None:
        return None
    missing = sorted(set(agent.protocols) - set(version.protocols))
    if not missing:
        return None
    return (
        f"version {version.version} declares {', '.join(version.protocols)} and not {', '.join(missing)}, which the "
        f"endpoint serves: who calls by {' or '.join(missing)} would get errors from it. Add it to the protocols of a "
        "new version, or take it off the endpoint"
    )


async def _late(world: World, rollout: Rollout, seen: Routing, now: datetime) -> str | None:
    """Say which change of ours made the routing differ from the plan; None when it does not, or another hand did.

    Where every change was answered, nothing of ours is on its way. To lower the canary's weight is a person's good
    right, and what was answered is never taken for a reason to raise it again. To take all of it is always drift.
    """
    if drift_of(rollout, seen) is None or not seen.is_open:
        return None
    recent = await world.store.rollouts(
        RolloutFilter(agent=rollout.agent, incarnation=rollout.incarnation, limit=RECENT)
    )
    change = arrived_late(recent, seen, now - LATE_CHANGES)
    if change is None or is_way_back(recent, rollout.canary, seen):
        return None
    return (
        f"a change of ours arrived late, sent at {change.sent_at:%H:%M:%S} and not answered: {seen}."
        f" Back to the plan, {routing_of(rollout)}"
    )


async def measure(world: World, rollout: Rollout, now: datetime, metrics: Metrics) -> Sequence[Measurement]:
    """Ask every source that the policy names, together; one that fails or is slow is silent, with its reason."""
    window = Window(min(rollout.measured_until or now, now), now)
    wanted = [source for source in world.sources if source.name in rollout.policy.sources.names]
    answers = await asyncio.gather(*(_ask(source, rollout, window, metrics) for source in wanted))
    return [measurement for answer in answers for measurement in answer]


async def _ask(source: Source, rollout: Rollout, window: Window, metrics: Metrics) -> Sequence[Measurement]:
    try:
        with span(f"source {source.name}", about(rollout)):
            async with asyncio.timeout(SOURCE_PATIENCE.total_seconds()):
                measurements = await source.measure(rollout, window)
    except TimeoutError:
        metrics.source_error(source.name, "timeout")
        return [Measurement(source.name, window, trouble=f"no answer within {SOURCE_PATIENCE.seconds} s")]
    except CloudError as error:
        metrics.source_error(source.name, "cloud")
        return [Measurement(source.name, window, trouble=str(error))]
    if any(measurement.trouble for measurement in measurements):
        metrics.source_error(source.name, "trouble")
    if any(counts.unread for measurement in measurements for counts in (measurement.canary, measurement.stable)):
        metrics.source_error(source.name, "value")
    return measurements
