"""What callers report of their calls, in batches: a call is counted once, however often it is reported."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.operations.fitting import CallContext, NotCounted, clock_words, misfit
from foundry_rollouts.operations.reports import Report
from foundry_rollouts.ports import Outcome, Policies, Reported, Store
from foundry_rollouts.ports.outcomes import Result


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch; ``woken`` are the rollouts that a failure made due."""

    accepted: int  #: Written down now.
    known: int  #: Reported before.
    counted: int
    not_counted: tuple[NotCounted, ...] = ()
    clock: str | None = None  #: How far the caller's clock may be from ours.
    woken: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[NotCounted, ...]:
        """Those of which nothing is written down."""
        return tuple(each for each in self.not_counted if each.is_refused)


async def take(store: Store, policies: Policies, reports: Sequence[Report], now: datetime) -> Taken:
    """Write down what may be counted, make the rollouts due whose canary failed, and say what does not count."""
    standings = await _standings(store, policies, reports)
    misfits = [misfit(report, standings[report.agent], now) for report in reports]
    kept = [report for report, flaw in zip(reports, misfits, strict=True) if flaw is None or not flaw.is_refused]
    new = await store.report([_outcome(report, now) for report in kept])
    old = await _old_sessions(store, standings, reports)
    woken = await _wake(store, new, now)
    fresh = {(outcome.agent, outcome.id) for outcome in new}
    not_counted: list[NotCounted] = []
    for report, found in zip(reports, misfits, strict=True):
        is_new = (report.agent, report.id) in fresh
        if found and (found.is_refused or is_new):
            not_counted.append(found)
        elif flaw := _flaw_of_kept(report, is_new=is_new, is_old=(report.agent, report.session) in old):
            not_counted.append(flaw)
        fresh.discard((report.agent, report.id))  # The same call again, later in the batch, is known.
    newest = max(report.at for report in reports)
    return Taken(
        accepted=len(new),
        known=len(kept) - len(new),
        counted=len(reports) - len(not_counted),
        not_counted=tuple(not_counted),
        clock=clock_words(newest, now),
        woken=woken,
    )


def _flaw_of_kept(report: Report, *, is_new: bool, is_old: bool) -> NotCounted | None:
    if not is_new:
        return NotCounted(report.id, report.agent, Result.DUPLICATE, "it was reported before, and a call counts once")
    if is_old:
        because = f"session {report.session} is older than the rollout: it began on whatever version it met then"
        return NotCounted(report.id, report.agent, Result.OLD_SESSION, because)
    return None


async def _standings(store: Store, policies: Policies, reports: Sequence[Report]) -> Mapping[str, CallContext]:
    """Return how each agent of the batch stands, by its name as it is reported."""
    names = {report.agent for report in reports}
    similar = await store.agents_named_like(sorted(names))
    standings: dict[str, CallContext] = {}
    current = await _in_hand(store, names)
    for name in names:
        rollout = current[name]
        begun = rollout if rollout is not None and rollout.step else None
        standings[name] = CallContext(
            is_known=begun is not None or name in similar,
            similar=[each for each in similar if each.casefold() == name.casefold()],
            rollout=begun,
            policy=None if begun else _policy_of(policies, name),
        )
    for report in reports:
        known = standings[report.agent]
        standings[report.agent] = replace(known, newest_at=max(report.at, known.newest_at or report.at))
    return standings


async def _in_hand(store: Store, names: Collection[str]) -> Mapping[str, Rollout | None]:
    """Return the current rollout of each agent, read together."""
    standings = await asyncio.gather(*(store.standing(name) for name in names))
    return {name: standing.queue.in_hand for name, standing in zip(names, standings, strict=True)}


def _policy_of(policies: Policies, agent: str) -> Policy | None:
    try:
        return policies.policy_for(agent)
    except RolloutsError:
        return None  # Two policies name it alike: none of them governs it.


async def _old_sessions(
    store: Reported, standings: Mapping[str, CallContext], reports: Sequence[Report]
) -> set[tuple[str, str | None]]:
    """Return the sessions of the batch that are older than the rollout of their agent."""
    old: set[tuple[str, str | None]] = set()
    sessions = defaultdict[str, set[str]](set)
    for report in reports:
        if report.session and (begun := standings[report.agent].rollout) and begun.started_at:
            sessions[report.agent].add(report.session)

    async def read(name: str) -> None:
        rollout = standings[name].rollout
        if rollout is not None and rollout.started_at is not None:
            found = await store.old_sessions(name, sorted(sessions[name]), rollout.started_at)
            old.update((name, session) for session in found)

    await asyncio.gather(*(read(name) for name in sessions))
    return old


async def _wake(store: Store, new: Sequence[Outcome], now: datetime) -> tuple[str, ...]:
    failed = [outcome for outcome in new if outcome.cause or outcome.has_log_error]
    versions = defaultdict[str, set[str]](set)
    for outcome in failed:
        versions[outcome.agent].add(outcome.version)
    current = await _in_hand(store, versions)
    woken = [each.id for agent, each in current.items() if each is not None and _listens(each, versions[agent])]
    await asyncio.gather(*(store.wake(rollout, now) for rollout in woken))
    return tuple(woken)


def _listens(rollout: Rollout, versions: set[str]) -> bool:
    return rollout.step > 0 and rollout.canary in versions and "outcomes" in rollout.policy.sources.names


def _outcome(report: Report, now: datetime) -> Outcome:
    return Outcome(
        id=report.id,
        agent=report.agent,
        version=report.version,
        at=report.at,
        received_at=now,
        cause=report.cause,
        latency=report.latency,
        session=report.session,
        has_log_error=report.has_log_error,
    )
