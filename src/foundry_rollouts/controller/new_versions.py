"""Versions that appeared since the last listing: which they are, which get a trial, and what is reported of the rest.

A version that had a trial before is never tried again by itself, however that ended: only a person does that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from foundry_rollouts.controller.record import record_of_agent, record_of_creation
from foundry_rollouts.controller.said import words
from foundry_rollouts.core.model.event import Event, of_agent
from foundry_rollouts.core.model.incarnation import ROUNDING, Marks, is_another, number
from foundry_rollouts.core.model.new_versions import NewVersions
from foundry_rollouts.core.model.policy import Policy, Trigger
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.ports import (
    AgentKnown,
    AgentSeen,
    Brief,
    Lease,
    Readings,
    RolloutFilter,
    VersionSeen,
    VersionStatus,
    World,
)

log = structlog.get_logger()

#: How many new versions are considered, newest first, and how many earlier trials of one.
MOST, TRIALS = 50, 20
GONE = {VersionStatus.DELETING, VersionStatus.DELETED}


def has_news(agent: AgentSeen, known: AgentKnown) -> bool:
    """Whether the latest version is one that was not considered, or another one of the same number."""
    latest = agent.latest
    if latest is None:
        return False
    if latest.version in {known.newest, known.stable} and latest.version not in dict(known.marks.versions):
        return False
    return not known.marks.knows(latest.version, latest.created_at)


def is_being_built(agent: AgentSeen, unfinished: Sequence[Rollout] | Sequence[Brief]) -> bool:
    """Whether the latest version has a rollout and is still being built: there is nothing to do but to wait."""
    latest = agent.latest
    if latest is None or latest.status is not VersionStatus.CREATING:
        return False
    return any(rollout.canary == latest.version for rollout in unfinished)


def marks_after(agent: AgentSeen, known: AgentKnown, considered: Sequence[VersionSeen] = ()) -> Marks:
    """Return what tells the agent from another of its name, with the versions that are known by now."""
    marks = known.marks.completed(agent.marks)
    latest = agent.latest
    if latest and latest.version in {known.newest, known.stable} and latest.version not in dict(marks.versions):
        marks = marks.with_version(latest.version, latest.created_at)
    for version in considered:
        marks = marks.with_version(version.version, version.created_at)
    return marks


def is_newer(version: VersionSeen, agent: AgentSeen, known: AgentKnown) -> bool:
    """Whether a version came after all that were considered, by its number or the time at which it was created."""
    times = dict(known.marks.versions)
    if version.is_draft or version.status in GONE or known.marks.knows(version.version, version.created_at):
        return False
    if version.version in times:
        return True  # another one of the same number
    if version.version in {known.stable, known.newest}:
        return False
    place, newest = number(version.version), number(known.newest)
    if place is not None and newest is not None and place > newest:
        return True
    last = times.get(known.newest or "")
    if version.created_at is not None and last is not None:
        return version.created_at > last + ROUNDING
    is_latest = agent.latest is not None and version.version == agent.latest.version
    return is_latest and (place is None or newest is None)


async def earlier_trial(store: Readings, rollout: Rollout) -> Rollout | None:
    """Return the newest other rollout of the same version in the same incarnation of the agent; None: there is none.

    One of another version that once had the same number is none.
    """
    which = RolloutFilter(agent=rollout.agent, canary=rollout.canary, incarnation=rollout.incarnation, limit=TRIALS)
    return next(
        (
            trial
            for trial in await store.rollouts(which)
            if trial.id != rollout.id and not is_another(trial.canary_created_at, rollout.canary_created_at)
        ),
        None,
    )


@dataclass(frozen=True, slots=True)
class Arrival:
    """New versions of one agent, the oldest first, and the trials that some of them had."""

    versions: tuple[VersionSeen, ...]
    trials: Mapping[str, Rollout]

    def chosen(self, policy: Policy) -> tuple[VersionSeen, ...]:
        """Return the versions that get a trial now, the oldest first.

        One whose build failed gets none, unless there is no other: its rollout says why then.
        """
        fresh = [version for version in self.versions if version.version not in self.trials]
        if policy.trigger is not Trigger.NEW_VERSION or not fresh:
            return ()
        if policy.new_versions is NewVersions.EACH:
            return tuple(version for version in fresh if _can_serve(version)) or tuple(fresh[-1:])
        newest = next((version for version in reversed(self.versions) if _can_serve(version)), fresh[-1])
        return (newest,) if newest in fresh else ()

    def is_settled(self, policy: Policy) -> bool:
        """Whether nothing is left to decide: the build of the newest version may fail, and an older one is tried."""
        if policy.trigger is not Trigger.NEW_VERSION or policy.new_versions is NewVersions.EACH:
            return True
        return not self.versions or self.versions[-1].status is not VersionStatus.CREATING

    def because(self, version: VersionSeen, policy: Policy) -> str:
        """Say why ``version`` gets a trial."""
        failed = [each.version for each in self.versions if not _can_serve(each) and each is not version]
        and_failed = f" and the build of version {_listed(failed)} failed" if failed else ""
        return f"version {version.version} is new{and_failed}; policy {policy.name} rolls it out"

    def report(self, policy: Policy, chosen: Sequence[VersionSeen]) -> str | None:
        """Say what becomes of each version; None where there is one only, whose rollout says it."""
        if len(self.versions) < 2:
            return None
        names = _listed([version.version for version in self.versions])
        if policy.trigger is not Trigger.NEW_VERSION:
            return f"versions {names} are new; policy {policy.name} starts none of them (trigger: {policy.trigger})"
        tried = _listed([version.version for version in chosen])
        fates = [self._fate(version) for version in self.versions if version not in chosen]
        what = [f"version {tried} is tried" if len(chosen) == 1 else f"versions {tried} are tried in turn"]
        sentence = ", ".join([*(what if chosen else []), *fates])
        return f"versions {names} are new; {sentence} (policy {policy.name}, new-versions: {policy.new_versions})"

    def _fate(self, version: VersionSeen) -> str:
        trial = self.trials.get(version.version)
        if trial is not None:
            return f"version {version.version} has had rollout {trial.id}, which is {trial.phase}"
        if not _can_serve(version):
            return f"the build of version {version.version} failed"
        return f"version {version.version} is skipped"


def _can_serve(version: VersionSeen) -> bool:
    return version.status is not VersionStatus.FAILED


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


@dataclass(frozen=True, slots=True)
class Reception:
    """Deals with new versions, under the lease of their agent."""

    world: World
    now: Callable[[], datetime]
    new_id: Callable[[datetime], str]

    async def receive(self, agent: AgentSeen, known: AgentKnown, policy: Policy, lease: Lease) -> None:
        """Begin the rollouts that the policy wants, tell of the versions that get none, and take note of all."""
        if not has_news(agent, known):
            if (marks := marks_after(agent, known)) != known.marks:
                await self.world.store.record(lease, record_of_agent(marks=marks))
            return
        arrival = await self._arrival(agent, known, policy)
        chosen = arrival.chosen(policy)
        for version in chosen:
            await self._begin(self._rollout(known, version, policy, arrival.because(version, policy)), lease)
        event = self._event(agent, known, arrival, arrival.report(policy, chosen))
        if not arrival.is_settled(policy):
            await self.world.store.record(lease, record_of_agent(event, marks=marks_after(agent, known)))
            return
        newest = arrival.versions[-1].version if arrival.versions else None
        latest = (agent.latest,) if agent.latest else ()
        marks = marks_after(agent, known, (*latest, *arrival.versions))
        await self.world.store.record(lease, record_of_agent(event, newest=newest, marks=marks))

    async def _arrival(self, agent: AgentSeen, known: AgentKnown, policy: Policy) -> Arrival:
        new: list[VersionSeen] = []
        if agent.latest and is_newer(agent.latest, agent, known):
            new.append(agent.latest)
        for version in await self.world.cloud.versions(agent.name):
            if len(new) == MOST or _is_behind(version, known):
                break
            if is_newer(version, agent, known) and version.version not in {each.version for each in new}:
                new.append(version)
        new.reverse()
        trials: dict[str, Rollout] = {}
        for version in new:
            if trial := await earlier_trial(self.world.store, self._rollout(known, version, policy, "")):
                trials[version.version] = trial
        return Arrival(tuple(new), trials)

    def _rollout(self, known: AgentKnown, version: VersionSeen, policy: Policy, because: str) -> Rollout:
        now = self.now()
        return Rollout(
            id=self.new_id(now) if because else "",
            agent=known.name,
            canary=version.version,
            stable=known.stable,
            policy=policy,
            created_at=now,
            because=because,
            event_count=1,
            incarnation=known.incarnation,
            canary_created_at=version.created_at,
        )

    async def _begin(self, rollout: Rollout, lease: Lease) -> None:
        """Begin a rollout, unless a person or a pipeline did so a moment ago."""
        try:
            await self.world.store.record(lease, record_of_creation(rollout))
        except ConflictError as error:
            log.info("rollout.joined", **words(rollout), because=str(error))
            return
        log.info("rollout.created", **words(rollout), because=rollout.because)

    def _event(self, agent: AgentSeen, known: AgentKnown, arrival: Arrival, because: str | None) -> Event | None:
        """Return the event that names all new versions, once for each set of them."""
        if because is None:
            return None
        names = "+".join(version.version for version in arrival.versions)
        which = f"{known.incarnation}:{names}"
        return of_agent(agent.name, "agent.versions_found", because, self.now(), which).showing(agent.routing)


def _is_behind(version: VersionSeen, known: AgentKnown) -> bool:
    """Whether everything that follows in the list was there when the newest known version was considered."""
    return version.version == known.newest and known.marks.knows(version.version, version.created_at)
