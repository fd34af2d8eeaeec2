"""What callers report of their calls, in batches: a call is counted once, however often it is reported."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.ports import Outcome, Store

#: A caller's clock may run ahead of ours by so much.
AHEAD = timedelta(minutes=1)
#: What began before that says nothing of a step that runs now.
OLD = timedelta(days=1)
#: A refused token, a missing right, throttling: the caller's trouble, not the version's.
NOT_THE_VERSIONS = frozenset({401, 403, 429})

#: What callers see below 500 when no version answered: it was not ready, or too slow.
NEVER_ANSWERED = frozenset({408, 424})


@dataclass(frozen=True, slots=True)
class Report:
    """One call as its caller tells it: ``is_ok``, or the HTTP status, or both."""

    id: str
    agent: str
    version: str
    at: datetime
    is_ok: bool | None = None
    status: int | None = None
    latency: timedelta | None = None
    session: str | None = None
    has_log_error: bool = False

    @property
    def cause(self) -> str | None:
        """Why the call failed; None: it did well. What the caller says outweighs the status."""
        status = self.status or 200
        is_ok = self.is_ok if self.is_ok is not None else status < 500 and status not in NEVER_ANSWERED
        if is_ok:
            return None
        return f"HTTP {status}" if status >= 400 else "reported as failed"


@dataclass(frozen=True, slots=True)
class Refused:
    """A report that is not counted, and why."""

    id: str
    because: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch; ``woken`` are the rollouts that a failure made due."""

    accepted: int
    known: int  #: Reported before.
    refused: tuple[Refused, ...] = ()
    woken: tuple[str, ...] = ()


async def take(store: Store, reports: Sequence[Report], now: datetime) -> Taken:
    """Write down what can be counted, and make the rollouts due whose canary failed."""
    refused = tuple(Refused(report.id, because) for report in reports if (because := _refusal(report, now)))
    counted = [_outcome(report, now) for report in reports if _refusal(report, now) is None]
    new = await store.report(counted)
    woken = await _wake(store, new, now)
    return Taken(accepted=len(new), known=len(counted) - len(new), refused=refused, woken=woken)


async def _wake(store: Store, new: Sequence[Outcome], now: datetime) -> tuple[str, ...]:
    failed = [outcome for outcome in new if outcome.cause or outcome.has_log_error]
    woken: list[str] = []
    for agent in {outcome.agent for outcome in failed}:
        versions = {outcome.version for outcome in failed if outcome.agent == agent}
        in_hand = (await store.queue(agent)).in_hand
        if in_hand is not None and _listens(in_hand, versions):
            woken.append(in_hand.id)
    for rollout in woken:
        await store.wake(rollout, now)
    return tuple(woken)


def _listens(rollout: Rollout, versions: set[str]) -> bool:
    return rollout.step > 0 and rollout.canary in versions and "outcomes" in rollout.policy.sources.names


def _refusal(report: Report, now: datetime) -> str | None:
    """Say why a report is not counted; None when it is."""
    if report.at > now + AHEAD:
        return "it began in the future: is the clock right, and the time zone?"
    if report.at < now - OLD:
        return "it began more than a day ago"
    if report.is_ok is None and report.status is None:
        return "it says neither ok nor status"
    if report.is_ok is not True and report.status in NOT_THE_VERSIONS:
        return f"HTTP {report.status} is no fault of the version"
    return None


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
