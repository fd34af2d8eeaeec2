"""See whether what a trial compares is still there; a version that was deleted is no baseline."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zlib import crc32

from foundry_rollouts.controller.incarnation import read_agent
from foundry_rollouts.controller.listings import Listings
from foundry_rollouts.core.deciding.loss import ORIGINAL
from foundry_rollouts.core.model.incarnation import is_another
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import drift_of
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import AgentKnown, AgentSeen, VersionSeen, VersionStatus, World

GONE = {VersionStatus.DELETED, VersionStatus.DELETING}
#: For so many ticks a version is taken to be there as it was read, and an agent to be as listed, while nothing changes.
LASTS = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """What the cloud shows of the versions that a trial compares."""

    missing: tuple[str, ...]
    stable: VersionSeen | None  #: None: it is gone, or there is none.


@dataclass(frozen=True, slots=True)
class _AgentRead:
    """An agent as it was read by itself, for a rollout, and until when that serves where a listing shows the same."""

    at: datetime
    shown_at: datetime  #: When a tick last found it so, by a read or in a listing.
    until: datetime
    rollout: str
    seen: AgentSeen


@dataclass(frozen=True, slots=True)
class _VersionRead:
    """A version as it was read, and until when it is taken to be so."""

    at: datetime
    until: datetime
    seen: VersionSeen


@dataclass(slots=True)
class LastReads:
    """Agents and versions as they were last read, so that a tick that changes nothing need not ask again."""

    lasts: timedelta
    listed_lasts: timedelta = timedelta(0)  #: How long after it was asked for a listing says how an agent is.
    listings: Listings = field(default_factory=Listings)
    _agents: dict[str, _AgentRead] = field(default_factory=dict)
    _versions: dict[str, dict[str, _VersionRead]] = field(default_factory=dict)

    async def agent(self, world: World, rollout: Rollout, known: AgentKnown | None, now: datetime) -> AgentSeen:
        """Return the agent as a listing showed it lately, or else as it is.

        Raises RecreatedError as ``read_agent`` does. A listing serves only where it was asked for after the agent's
        last own read, shows the same and nothing out of the ordinary: all else is read by itself before it counts.
        """
        if (listed := self._as_listed(rollout, now)) is not None:
            self._agents[rollout.agent] = replace(listed, shown_at=now)
            return listed.seen
        before = self._agents.pop(rollout.agent, None)
        seen = await read_agent(world, rollout.agent, known)
        self._agents[rollout.agent] = self._agent_read(rollout, seen, now, before)
        return seen

    def _agent_read(self, rollout: Rollout, seen: AgentSeen, now: datetime, before: _AgentRead | None) -> _AgentRead:
        is_first = before is None or before.rollout != rollout.id
        return _AgentRead(now, now, self._until(now, rollout.agent, is_first=is_first), rollout.id, seen)

    def _until(self, now: datetime, key: str, *, is_first: bool) -> datetime:
        """Return how long a read serves: a first one for 1, 2 or 3 ticks, so that not all are due in the same tick."""
        ticks = 1 + crc32(key.encode(errors="replace")) % LASTS if is_first else LASTS
        return now + self.lasts * (ticks - 0.5) / LASTS

    def _as_listed(self, rollout: Rollout, now: datetime) -> _AgentRead | None:
        read, shown = self._agents.get(rollout.agent), self.listings.shown(rollout.agent)
        if read is None or shown is None or read.rollout != rollout.id or not rollout.step or rollout.missing:
            return None
        asked_at, seen = shown
        is_fresh = timedelta(0) <= now - asked_at <= self.listed_lasts and now < read.until
        if not is_fresh or asked_at <= read.at or seen != read.seen:
            return None
        is_well = seen.unreadable is None and seen.routing.is_open and drift_of(rollout, seen.routing) is None
        return read if is_well else None

    def changed(self, agent: str) -> None:
        """Read the agent by itself the next time: it is changed, and a listing may be older than that."""
        self._agents.pop(agent, None)

    async def present(self, world: World, rollout: Rollout, version: str | None, now: datetime) -> VersionSeen | None:
        """Return ``version`` as it was read lately, or else as it is; None when it is gone, or when there is none.

        A read serves longer while the agent shows the same as its latest version. While anything of the trial is
        missing, or may be, each is read anew.
        """
        last = self._versions.get(rollout.agent, {}).get(version or "")
        if last is not None and last.at <= now and not rollout.missing:
            agent = self._agents.get(rollout.agent)
            is_shown = agent is not None and agent.shown_at == now and agent.seen.latest == last.seen
            if is_shown or now < last.until:
                return last.seen
        seen = await present(world, rollout.agent, version)
        reads = self._versions.get(rollout.agent, {})
        # Of older trials nothing is kept.
        kept = {each: reads[each] for each in (rollout.stable, rollout.canary) if each in reads and each != version}
        self._versions[rollout.agent] = kept
        if seen is not None:
            until = self._until(now, f"{rollout.agent}/{seen.version}", is_first=last is None)
            kept[seen.version] = _VersionRead(now, until, seen)
        return seen

    async def are_as_read(self, world: World, rollout: Rollout, now: datetime, *, is_retreat: bool = False) -> bool:
        """Read again what was not read at ``now``; return whether all is as it was. Whoever changes something asks.

        A retreat leaves the canary behind, whichever it is by now: of the versions it needs the stable one.
        """
        if not await self._is_agent_as_read(world, rollout, now):
            return False
        reads = self._versions.get(rollout.agent, {})
        left_behind = rollout.canary if is_retreat else None
        before = {number: read.seen for number, read in reads.items() if read.at != now and number != left_behind}
        for number in before:
            del reads[number]
        try:
            return all([await self.present(world, rollout, number, now) == seen for number, seen in before.items()])
        except CloudError:
            return False

    async def _is_agent_as_read(self, world: World, rollout: Rollout, now: datetime) -> bool:
        read = self._agents.get(rollout.agent)
        if read is None or read.at == now:
            return True
        self.changed(rollout.agent)
        try:
            seen = await world.cloud.agent(rollout.agent)
        except CloudError:
            return False
        if seen == read.seen:
            self._agents[rollout.agent] = self._agent_read(rollout, seen, now, read)
        return seen == read.seen

    def forget(self, agent: str) -> None:
        """Ask anew the next time."""
        self.changed(agent)
        self._versions.pop(agent, None)


async def compared(world: World, rollout: Rollout, reads: LastReads, now: datetime) -> Compared:
    """Return what the trial compares and the cloud does not show; raises CloudError when it cannot be asked.

    A stable version that was deleted and made again under its number is another one, and is missing like one that was
    deleted. Before the first weight only the stable version is asked for: the canary's own read says the rest.
    """
    missing: list[str] = []
    stable = await reads.present(world, rollout, rollout.stable, now)
    before = (rollout.stable_created_at, rollout.stable_content)
    if rollout.stable is not None and (stable is None or (rollout.step and is_made_again(before, stable))):
        missing.append(rollout.stable)
    if not rollout.step:
        return Compared(tuple(missing), stable)
    canary = await reads.present(world, rollout, rollout.canary, now)
    if canary is None:
        missing.append(rollout.canary)
    elif is_made_again((rollout.canary_created_at, rollout.canary_content), canary):
        missing.append(ORIGINAL)
    return Compared(tuple(missing), stable)


async def is_gone(world: World, agent: str, version: str) -> bool:
    """Whether the cloud shows ``version`` no more, or as deleted."""
    return await present(world, agent, version) is None


async def present(world: World, agent: str, version: str | None) -> VersionSeen | None:
    """Return ``version`` as the cloud shows it; None when it is gone, or about to go, or when there is none."""
    if version is None:
        return None
    try:
        seen = await world.cloud.version(agent, version)
    except CloudError as error:
        if error.is_missing:
            return None
        raise
    return None if seen.status in GONE else seen


def is_made_again(before: tuple[datetime | None, str | None], seen: VersionSeen) -> bool:
    """Whether the version of that number is another one than before, by its time or its code."""
    created_at, content = before
    if is_another(created_at, seen.created_at):
        return True
    return content is not None and seen.content is not None and content.lower() != seen.content.lower()
