"""Whether a reported call counts for the rollout in progress of its agent, and why it does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from foundry_rollouts.core.forecast.words import span_words
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import OUR_OWN_STATUSES
from foundry_rollouts.operations.reports import Report
from foundry_rollouts.ports.outcomes import REFUSED, Result, is_warming

#: A caller's clock may run ahead of ours by so much.
AHEAD = timedelta(minutes=1)
#: What began before that says nothing of a step that runs now.
OLD = timedelta(days=1)
#: The newest call of a batch began so long ago at most, where clocks agree and reports are not held back.
BEHIND = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class NotCounted:
    """A report that does not count, and why."""

    id: str
    agent: str
    result: Result
    because: str

    @property
    def is_refused(self) -> bool:
        return self.result in REFUSED


@dataclass(frozen=True, slots=True)
class CallContext:
    """How an agent stands while a batch is taken."""

    is_known: bool
    similar: Sequence[str] = ()  #: Agents whose names differ by capitals only.
    rollout: Rollout | None = None  #: The one that has begun.
    policy: Policy | None = None  #: That of the agent, where no rollout has begun.
    newest_at: datetime | None = None  #: When the newest call of the batch began.


def misfit(report: Report, standing: CallContext, now: datetime) -> NotCounted | None:
    """Return why ``report`` does not count; None: it does, unless it was reported before or its session is old."""
    found = _of_itself(report, now) or _of_agent(report, standing) or _of_step(report, standing, now)
    return NotCounted(report.id, report.agent, *found) if found else None


def clock_words(newest_at: datetime, now: datetime) -> str | None:
    """Say how far the caller's clock may be from ours; None where nothing speaks for it."""
    if newest_at > now + timedelta(seconds=1):
        return f"the newest call begins {span_words(newest_at - now)} in the future: the caller's clock is ahead"
    if newest_at < now - BEHIND:
        behind = span_words(now - newest_at)
        return f"the newest call began {behind} ago: the caller's clock is behind, or it reports so late"
    return None


def _of_itself(report: Report, now: datetime) -> tuple[Result, str] | None:
    if report.at > now + AHEAD:
        ahead = span_words(report.at - now)
        return Result.CLOCK_AHEAD, f"it began {ahead} in the future: is the clock right, and the time zone?"
    if report.at < now - OLD:
        return Result.TOO_OLD, f"it began more than a day ago ({span_words(now - report.at)})"
    if report.is_ok is None and report.status is None:
        return Result.INCOMPLETE, "it says neither ok nor status"
    if report.is_ok is not True and report.status in OUR_OWN_STATUSES:
        return Result.CALLERS_OWN, f"HTTP {report.status} is no fault of the version"
    return None


def _of_agent(report: Report, standing: CallContext) -> tuple[Result, str] | None:
    if not standing.is_known:
        hint = f", did you mean {standing.similar[0]}?" if standing.similar else ": check its name"
        return Result.UNKNOWN_AGENT, f"agent {report.agent} is not known{hint}"
    rollout = standing.rollout
    policy = rollout.policy if rollout else standing.policy
    if policy is None:
        return Result.NO_POLICY, f"no policy governs agent {report.agent}, so that nothing is on trial"
    if policy.sources.outcomes is None:
        return Result.NO_SOURCE, f"policy {policy.name} has no source outcomes: add 'outcomes: {{}}' to its sources"
    if rollout is None:
        return Result.NO_ROLLOUT, f"no rollout of agent {report.agent} is in progress: nothing is counted now"
    if rollout.stable is None:
        return Result.NO_ROLLOUT, f"the rollout of version {rollout.canary} has no stable version to compare it with"
    if report.version not in {rollout.stable, rollout.canary}:
        return Result.UNKNOWN_VERSION, _unknown_version(report.version, rollout)
    return None


def _unknown_version(version: str, rollout: Rollout) -> str:
    meant = version.strip().lstrip("vV")
    hint = f", did you mean {meant}?" if meant in {rollout.stable, rollout.canary} else ""
    return f"version {version} is neither the stable version {rollout.stable} nor the canary {rollout.canary}{hint}"


def _of_step(report: Report, standing: CallContext, now: datetime) -> tuple[Result, str] | None:
    rollout = standing.rollout
    if rollout is None or rollout.step_started_at is None or rollout.started_at is None:
        return None
    if report.at >= rollout.step_started_at:
        if not is_warming(report.cause, report.at, rollout.started_at):
            return None
        return Result.WARMING_UP, f"{report.cause} while version {report.version} may still be warming up"
    early = span_words(rollout.step_started_at - report.at)
    sentence = f"it began {early} before step {rollout.step} did, and a call counts for the step in which it begins"
    words = clock_words(standing.newest_at, now) if standing.newest_at else None
    if words is None:
        return Result.EARLIER_STEP, sentence
    return Result.CLOCK_BEHIND, f"{sentence}; {words}"
