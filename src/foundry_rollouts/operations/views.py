"""How rollouts, agents and measurements are shown to people and programs. Times in seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.core.deciding.approving import deadline
from foundry_rollouts.core.deciding.progress import APPROVAL
from foundry_rollouts.core.model.acknowledgement import Acknowledgement, lesson
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.effects import Mode
from foundry_rollouts.core.model.measurement import Counts, Measurement, quantile, seconds_of
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of
from foundry_rollouts.operations.brakes import BrakeView
from foundry_rollouts.operations.progress import Progress
from foundry_rollouts.ports import AgentKnown, Queue


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left, pauses left out: of the bake time, of the step's ``max``, of the rollout's deadline."""

    step_seconds: float
    limit_seconds: float | None  #: None: the step has no ``max``.
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class CommandView:
    """What a person asked and no tick has obeyed yet."""

    verb: str
    author: str
    at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class ApprovalsView:
    """The approvals of the present step."""

    needed: int
    given: tuple[str, ...]  #: Who approved.
    by: tuple[str, ...]  #: Roles or names that may; empty: whoever may give commands.
    until: datetime | None  #: When the time for it is over.
    then: str  #: What comes then: hold, rollback or abort.
    fingerprint: str | None = None  #: What is approved: the version and the policy; another one voids approvals.


@dataclass(frozen=True, slots=True)
class RolloutView:
    """One rollout as it stands."""

    id: str
    agent: str
    canary: str
    stable: str | None
    phase: Phase
    mode: Mode  #: Whether anything is moved for it.
    would_have: Phase | None  #: How it would have ended where nothing was moved.
    step: int  #: From 1; 0 before the first.
    steps: int
    weights: Mapping[str, int]  #: Version to percent of new sessions, as the rollout calls for, or would have.
    generation: int
    because: str
    waiting_for: str | None
    held_by: str | None  #: What keeps it from going on, as ``freeze``; ``waiting_for`` says it in words.
    verdict: str | None
    policy: str
    author: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    remaining: Remaining | None  #: None before the first step and after the end.
    open_commands: tuple[CommandView, ...] | None = None  #: Accepted and not obeyed yet; None: not asked for here.
    policy_hash: str | None = None  #: What its policy said when it was created; None: not asked for here.
    joined: bool = False  #: It was there when it was asked for.
    answer: str | None = None  #: What came of what was asked, in a sentence.
    progress: Progress | None = None  #: How far it is, gate by gate; None: not asked for here.
    acknowledged: Acknowledgement | None = None  #: Who knows that it ended badly; None: nobody, or it did not.
    approvals: ApprovalsView | None = None  #: Who approved so far; None: nobody is asked for now.


@dataclass(frozen=True, slots=True)
class RoutingView:
    """The weights of an endpoint as last seen."""

    weights: Mapping[str, int]
    is_open: bool
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of an agent that matters now."""

    version: str
    weight: int
    is_stable: bool
    status: str | None  #: Known of the latest version only.
    created_at: datetime | None = None  #: When the cloud made it; None: not known.


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent with its routing, its versions, its policy and the current rollout."""

    name: str
    stable: str | None
    latest: str | None
    latest_status: str | None
    routing: RoutingView | None
    versions: tuple[VersionView, ...]
    policy: str | None
    rollout: RolloutView | None
    queued: int  #: Rollouts that wait for the current one.
    seen_at: datetime | None
    is_gone: bool
    unreadable: str | None = None  #: Why it cannot be read, decided or recorded; nothing of it is changed.
    unacknowledged: RolloutView | None = None  #: The newest that ended badly and nobody knows of.
    unacknowledged_because: str | None = None  #: What users have, what was released, and why, in a sentence.
    holds: tuple[BrakeView, ...] = ()  #: Who holds it at which version.


@dataclass(frozen=True, slots=True)
class CountsView:
    """What one version did in one window; latencies in seconds, None: none was measured.

    ``rate_limited`` are failures because the agent's model refused it; ``values`` are for gates on a value, by name.
    """

    calls: int
    failures: int
    client_errors: int
    rate_limited: int
    new_sessions: int
    log_errors: int
    causes: Mapping[str, int]
    median_seconds: float | None
    p95_seconds: float | None
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class MeasurementView:
    """What one source counted in the half-open span ``[start, end)``."""

    source: str
    start: datetime
    end: datetime
    stable: CountsView
    canary: CountsView
    trouble: str | None


def whole_view(
    rollout: Rollout, commands: Sequence[Command], now: datetime, *, joined: bool = False, answer: str | None = None
) -> RolloutView:
    """Show ``rollout`` with the commands that nobody obeyed yet, and what came of a request."""
    asked = tuple(CommandView(each.verb.value, each.author, each.at, each.reason) for each in commands)
    said = policy_hash(rollout.policy)
    return replace(rollout_view(rollout, now), open_commands=asked, policy_hash=said, joined=joined, answer=answer)


def rollout_view(rollout: Rollout, now: datetime) -> RolloutView:
    """Show ``rollout`` as it stands at ``now``."""
    return RolloutView(
        id=rollout.id,
        agent=rollout.agent,
        canary=rollout.canary,
        stable=rollout.stable,
        phase=rollout.phase,
        mode=rollout.policy.mode,
        would_have=rollout.would_have,
        step=rollout.step,
        steps=len(rollout.policy.steps),
        weights=dict(routing_of(rollout).weights),
        generation=rollout.generation,
        because=rollout.because,
        waiting_for=rollout.waiting_for or _awaited(rollout),
        held_by=rollout.held_by,
        verdict=rollout.verdict,
        policy=rollout.policy.name,
        author=rollout.author,
        created_at=rollout.created_at,
        started_at=rollout.started_at,
        ended_at=rollout.ended_at,
        remaining=_remaining(rollout, now),
        approvals=_approvals(rollout, now),
    )


def _approvals(rollout: Rollout, now: datetime) -> ApprovalsView | None:
    step = rollout.present_step
    if not isinstance(step, ApprovalStep) or rollout.phase.is_final:
        return None
    given = tuple(each.by for each in rollout.approvals)
    until = deadline(rollout, now)
    return ApprovalsView(step.count, given, step.by, until, step.then.value, rollout.asked_about)


def _awaited(rollout: Rollout) -> str | None:
    """Return whom a rollout waits for that has just come to an approval: the next tick writes it down."""
    return APPROVAL if rollout.phase is Phase.PROGRESSING and rollout.waits_for_approval else None


def agent_view(agent: AgentKnown, queue: Queue, now: datetime, unknown: Rollout | None = None) -> AgentView:
    """Show ``agent`` with its current rollout, and the one that ended badly and nobody knows of."""
    in_hand = queue.in_hand
    return AgentView(
        name=agent.name,
        stable=agent.stable,
        latest=agent.latest,
        latest_status=agent.latest_status,
        routing=_routing_view(agent.routing) if agent.routing else None,
        versions=_versions(agent, in_hand),
        policy=agent.policy,
        rollout=rollout_view(in_hand, now) if in_hand else None,
        queued=queue.waiting,
        seen_at=agent.seen_at,
        is_gone=agent.is_gone,
        unreadable=agent.unreadable,
        unacknowledged=rollout_view(unknown, now) if unknown else None,
        unacknowledged_because=lesson(unknown) if unknown else None,
    )


def measurement_view(measurement: Measurement) -> MeasurementView:
    """Show ``measurement`` with its latencies as numbers people know."""
    return MeasurementView(
        source=measurement.source,
        start=measurement.window.start,
        end=measurement.window.end,
        stable=_counts_view(measurement.stable),
        canary=_counts_view(measurement.canary),
        trouble=measurement.trouble,
    )


def _remaining(rollout: Rollout, now: datetime) -> Remaining | None:
    step = rollout.present_step
    if step is None or rollout.phase.is_final:
        return None
    least, most = (step.min, step.max) if isinstance(step, WeightStep) else (timedelta(0), None)
    age = rollout.step_age(now)
    return Remaining(
        step_seconds=_left(least, age),
        limit_seconds=None if most is None else _left(most, age),
        deadline_seconds=_left(rollout.policy.deadline, rollout.age(now)),
    )


def _left(whole: timedelta, gone: timedelta) -> float:
    return round(max((whole - gone).total_seconds(), 0.0), 1)


def _routing_view(routing: Routing) -> RoutingView:
    return RoutingView(dict(routing.weights), routing.is_open, routing.is_pinned)


def _versions(agent: AgentKnown, rollout: Rollout | None) -> tuple[VersionView, ...]:
    weights = dict(agent.routing.weights) if agent.routing else {}
    canary = rollout.canary if rollout else None
    made = dict(agent.marks.versions)
    names = dict.fromkeys(v for v in (agent.stable, canary, agent.latest, *weights) if v)
    return tuple(
        VersionView(
            version=name,
            weight=weights.get(name, 0),
            is_stable=name == agent.stable,
            status=agent.latest_status if name == agent.latest else None,
            created_at=made.get(name),
        )
        for name in names
    )


def _counts_view(counts: Counts) -> CountsView:
    median, p95 = (quantile(counts.latencies, share) for share in (0.5, 0.95))
    return CountsView(
        calls=counts.calls,
        failures=counts.failures,
        client_errors=counts.client_errors,
        rate_limited=counts.rate_limited,
        new_sessions=counts.new_sessions,
        log_errors=counts.log_errors,
        causes=dict(counts.causes),
        median_seconds=None if median is None else round(seconds_of(median), 3),
        p95_seconds=None if p95 is None else round(seconds_of(p95), 3),
        values=dict(counts.values),
    )
