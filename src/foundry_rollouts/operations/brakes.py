"""Stopping the line and starting it, holding an agent and letting it go: who may not go on, who says so, until when."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.core.model.brake import Brake, BrakeKind, Scope
from foundry_rollouts.core.model.calendar import instant
from foundry_rollouts.errors import ConflictError, NotFoundError, UsageError
from foundry_rollouts.ports import Brakes, Store

#: So many that ended are shown.
ENDED = 20
#: Nobody means an end that lies further ahead.
LONGEST = timedelta(days=200 * 365)


@dataclass(frozen=True, slots=True)
class BrakeView:
    """One stop of the line, or one hold of an agent; times that are null have not come, or never do by themselves."""

    id: str
    because: str  #: Who, why, and until when, in a sentence.
    author: str
    reason: str
    since: datetime
    until: datetime | None  #: When it ends by itself; None: when a person ends it.
    project: str | None = None  #: Of a stop; None: of every project.
    agent: str | None = None  #: Of a hold.
    version: str | None = None  #: Which version a hold keeps.
    ended_at: datetime | None = None
    ended_by: str | None = None  #: None after its end: its time was over.


@dataclass(frozen=True, slots=True)
class LineView:
    """Whether the line is stopped, by whom, and who stopped it last."""

    is_stopped: bool
    stops: tuple[BrakeView, ...]
    ended: tuple[BrakeView, ...]  #: The last ones, the newest first.
    answer: str | None = None  #: What came of what was asked, in a sentence.


@dataclass(frozen=True, slots=True)
class HoldsView:
    """Which agents are held, and which were."""

    items: tuple[BrakeView, ...]
    ended: tuple[BrakeView, ...]  #: The last ones, the newest first.
    answer: str | None = None  #: What came of what was asked, in a sentence.


@dataclass(frozen=True, slots=True)
class PutOn:
    """A request to stop the line, or to hold an agent at ``version``; ``project`` empty: every project."""

    id: str
    author: str
    reason: str
    at: datetime
    until: datetime | None = None
    project: str = ""
    agent: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class TakeOff:
    """A request to start the line, or to let an agent go."""

    author: str
    at: datetime
    reason: str | None = None
    project: str = ""
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """Where stops and holds are kept, what this replica knows of them, and the projects that there are, if several."""

    store: Store
    facts: Brakes | None = None
    projects: Sequence[str] = field(default=())

    async def changed(self, now: datetime) -> None:
        """Let this replica know at once; others are rung."""
        if self.facts is not None:
            await self.facts.refresh(now)


async def line_view(store: Store, now: datetime, answer: str | None = None) -> LineView:
    """Return who stopped the line."""
    stops = tuple(brake_view(each) for each in await store.brakes() if _is_on(each, BrakeKind.LINE, now))
    ended = tuple(brake_view(each) for each in await store.ended_brakes(BrakeKind.LINE, ENDED))
    return LineView(bool(stops), stops, ended, answer)


async def holds_view(store: Store, now: datetime, answer: str | None = None) -> HoldsView:
    """Return which agents are held."""
    items = tuple(brake_view(each) for each in await store.brakes() if _is_on(each, BrakeKind.HOLD, now))
    ended = tuple(brake_view(each) for each in await store.ended_brakes(BrakeKind.HOLD, ENDED))
    return HoldsView(items, ended, answer)


async def stop_line(board: Board, asked: PutOn) -> LineView:
    """Let nothing begin or rise; raises UsageError for an end that is over, or a project that is not there."""
    _check_project(board, asked.project)
    _check_end(asked)
    scope = Scope(BrakeKind.LINE, asked.project)
    made = Brake(asked.id, scope, asked.reason, asked.author, asked.at, asked.until)
    put_on = await board.store.put_on(made)
    await board.changed(asked.at)
    return await line_view(board.store, asked.at, f"{put_on.because}{_already(put_on, made)}")


async def start_line(board: Board, asked: TakeOff) -> LineView:
    """Let rollouts go on; said of a line that is not stopped, it changes nothing."""
    _check_project(board, asked.project)
    scope = Scope(BrakeKind.LINE, asked.project)
    ended = await board.store.take_off(scope, asked.at, asked.author, asked.reason)
    await board.changed(asked.at)
    view = await line_view(board.store, asked.at)
    still = "; ".join(each.because for each in view.stops)
    said = f"{asked.author} started {scope.name}" if ended else f"{scope.name} was not stopped"
    return LineView(view.is_stopped, view.stops, view.ended, f"{said}; still: {still}" if still else said)


async def hold_agent(board: Board, asked: PutOn) -> HoldsView:
    """Keep an agent on its version; raises ConflictError for a version that is not the stable one."""
    agent, version = asked.agent or "", asked.version or ""
    known = await board.store.agent(agent)
    if known is None:
        raise NotFoundError(f"agent {agent!r} is not known: discovery has not seen it in this project (yet)")
    _check_end(asked)
    if known.stable != version:
        serves = f"version {known.stable} is its stable version" if known.stable else "it has no stable version yet"
        raise ConflictError(
            f"agent {agent} cannot be held at version {version}: {serves}; a hold keeps what is stable, "
            f"'foundry-rollouts rollout start --agent {agent} --version {version}' makes it so first"
        )
    scope = Scope(BrakeKind.HOLD, agent=agent)
    made = Brake(asked.id, scope, asked.reason, asked.author, asked.at, asked.until, version)
    put_on = await board.store.put_on(made)
    await board.changed(asked.at)
    return await holds_view(board.store, asked.at, f"{put_on.because}{_already(put_on, made)}")


async def let_go(board: Board, asked: TakeOff) -> HoldsView:
    """End the holds of an agent; said of one that is not held, it changes nothing."""
    scope = Scope(BrakeKind.HOLD, agent=asked.agent)
    ended = await board.store.take_off(scope, asked.at, asked.author, asked.reason)
    if not ended and await board.store.agent(asked.agent or "") is None:
        raise NotFoundError(f"agent {asked.agent!r} is not known: discovery has not seen it in this project (yet)")
    await board.changed(asked.at)
    said = f"{asked.author} ended the hold of {scope.name}" if ended else f"{scope.name} was not held"
    return await holds_view(board.store, asked.at, said)


def brake_view(brake: Brake) -> BrakeView:
    """Show one of them."""
    return BrakeView(
        id=brake.id,
        because=brake.because,
        author=brake.author,
        reason=brake.reason,
        since=brake.since,
        until=brake.until,
        project=brake.scope.project or None,
        agent=brake.scope.agent,
        version=brake.version,
        ended_at=brake.ended_at,
        ended_by=brake.ended_by,
    )


def holds_of(brakes: Sequence[Brake], agent: str, now: datetime) -> tuple[BrakeView, ...]:
    """Return what holds one agent."""
    return tuple(
        brake_view(each) for each in brakes if _is_on(each, BrakeKind.HOLD, now) and each.scope.concerns(agent)
    )


def stops_in(brakes: Sequence[Brake], now: datetime) -> tuple[BrakeView, ...]:
    """Return what stops a line."""
    return tuple(brake_view(each) for each in brakes if _is_on(each, BrakeKind.LINE, now))


def _is_on(brake: Brake, kind: BrakeKind, now: datetime) -> bool:
    return brake.scope.kind is kind and brake.is_on(now)


def _already(put_on: Brake, made: Brake) -> str:
    return "" if put_on.id == made.id else f", since {instant(put_on.since)}"


def _check_project(board: Board, project: str) -> None:
    if not project or project in board.projects:
        return
    there = f"there are {', '.join(board.projects)}" if board.projects else "there is one project: leave it out"
    raise UsageError(f"project {project!r} is not known here; {there}")


def _check_end(asked: PutOn) -> None:
    if asked.until is None:
        return
    said = asked.until.isoformat(timespec="minutes")  # Not in UTC: that may lie beyond what an instant can say.
    if asked.until <= asked.at:
        raise UsageError(f"{said} is over: name an end that lies ahead, or none")
    if asked.until - asked.at > LONGEST:
        raise UsageError(f"{said} lies too far ahead: leave the end out")
