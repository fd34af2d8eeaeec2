"""The record of one rollout: one canary on trial on one agent."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from foundry_rollouts.core.model.approval import Approval, ApprovalStep
from foundry_rollouts.core.model.backoff import Refused
from foundry_rollouts.core.model.contest import Contest
from foundry_rollouts.core.model.group import InGroup
from foundry_rollouts.core.model.policy import Policy, Step, WeightStep


class Phase(StrEnum):
    """Where a rollout is."""

    PENDING = "pending"  #: Not begun: the version, the queue or a freeze is waited for.
    PROGRESSING = "progressing"  #: The canary takes traffic along the steps.
    PAUSED = "paused"  #: Weights stay; harm still rolls back.
    PROMOTED = "promoted"  #: The canary became the stable version.
    ROLLED_BACK = "rolled_back"  #: All new traffic goes to the stable version again.
    DISABLED = "disabled"  #: The endpoint is closed: no safe version was left, or the policy says so.
    SUPERSEDED = "superseded"  #: Something else took this rollout's place.
    FAILED = "failed"  #: The version, or its sandboxes, never became ready: traffic never moved.
    OBSERVED = "observed"  #: Judged to its end under ``mode: observe``: nothing was moved.
    ABORTED = "aborted"  #: Ended before its first weight, by a person or with its group: traffic never moved.

    @property
    def is_final(self) -> bool:
        return self not in {Phase.PENDING, Phase.PROGRESSING, Phase.PAUSED}


#: How long the cloud may take to apply a change that it did not answer.
MAY_ARRIVE_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class UnconfirmedChange:
    """A change of ours whose answer was lost: the cloud may apply it late, or once more."""

    weights: tuple[tuple[str, int], ...]  #: As in the routing that was sent.
    sent_at: datetime


#: How far apart two reads are that a version's end takes: one alone may flicker.
READS_APART = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Ending:
    """A status of a version that nothing comes after, since it was first read so."""

    version: str
    status: str
    read_at: datetime


#: How soon after its end a rollout's sessions are checked again.
STOPS_AGAIN_AFTER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Stops:
    """The canary's live sessions, which a rollback is to stop: how far that is."""

    count: int = 0  #: So many were stopped.
    tries: int = 0
    next_at: datetime | None = None  #: When to try again; None: at once.
    is_told: bool = False  #: The history says that they are not stopped yet.
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """What the cloud does not show: a version by its number, or the agent; one read may be mistaken."""

    what: str
    since: datetime


@dataclass(frozen=True, slots=True)
class PriorCounts:
    """What one source counted on the stable version, at one gate, while that was on trial itself."""

    gate: str
    source: str
    calls: int
    failures: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """One trial of one canary on one agent, from start to end."""

    id: str
    agent: str
    canary: str
    stable: str | None  #: None: there is no version to go back to.
    policy: Policy  #: As it was when the rollout was created; a file edited later changes nothing here.
    created_at: datetime
    phase: Phase = Phase.PENDING
    step: int = 0  #: Number of the present step, counted from 1; 0 before the first.
    generation: int = 1  #: Grows with each command and each change of phase or step; commands name it.
    because: str = "created"
    waiting_for: str | None = None
    verdict: str | None = None  #: The judge's last word; None before the first.
    author: str | None = None  #: Who asked for it; None: discovery.
    started_at: datetime | None = None
    step_started_at: datetime | None = None
    paused_at: datetime | None = None
    resumed_at: datetime | None = None  #: The deadline counts from here once a person resumed.
    ended_at: datetime | None = None
    would_have: Phase | None = None  #: How it would have ended, had the policy acted.
    ended_by: str | None = None  #: The person who asked for the end; None: the controller's own decision.
    measured_until: datetime | None = None  #: Where the next window begins.
    unconfirmed_changes: tuple[UnconfirmedChange, ...] = ()  #: What may still arrive, by what is known of it.
    is_revert: bool = False  #: The canary was stable just before the present stable version: it needs no small steps.
    is_held: bool = False  #: It waits in the queue for a person, who aborted the one before it.
    prior_counts: tuple[PriorCounts, ...] = ()  #: What is known of the stable version from before the trial.
    stops: Stops | None = None  #: None: no sessions are to be stopped.
    incarnation: int = 1  #: Of the agent, by our count; another one's rollouts tell nothing about this one.
    canary_created_at: datetime | None = None  #: By the cloud; None: unknown.
    canary_content: str | None = None  #: The hash of its code, by the cloud; None: unknown.
    stable_created_at: datetime | None = None  #: By the cloud, when the trial began; None: unknown.
    stable_content: str | None = None  #: The hash of its code, by the cloud, when the trial began; None: unknown.
    endings: tuple[Ending, ...] = ()  #: Versions that seem to be at their end, by first reads.
    event_count: int = 0  #: How many events the history holds; the next one's number is one more.
    refused: Refused | None = None  #: The change that the cloud refuses; None: it took the last one.
    contest: Contest | None = None  #: Another hand that changes the routing each time it was restored.
    missing: tuple[Missing, ...] = ()  #: What the last read did not find.
    is_stable_gone: bool = False  #: The stable version was deleted during the trial.
    harmed_at: int | None = None  #: The step at which harm was proved that the policy does not go back for.
    step_backs: int = 0  #: How often it went from all traffic back to a weight that compares.
    trouble_since: datetime | None = None  #: Both versions fail more than before, since then: the clocks stand.
    trouble_time: timedelta = timedelta(0)  #: How long the clocks stood before, since the deadline last began anew.
    step_trouble_time: timedelta = timedelta(0)  #: Of that, at this step.
    is_trouble_asked: bool = False  #: It paused for trouble that lasts; who resumes it takes that for normal.
    is_time_told: bool = False  #: The history says how long it will take, at the traffic that was measured.
    wait_told: str | None = None  #: Whom or what the history says is waited for.
    held_by: str | None = None  #: What keeps it from going on: ``freeze``, ``line`` and so on; None: nothing does.
    held_since: datetime | None = None  #: Its deadline stands since then.
    held_time: timedelta = timedelta(0)  #: How long it was held before.
    approvals: tuple[Approval, ...] = ()  #: Of the present step.
    asked_about: str | None = None  #: The fingerprint of what people are asked to approve at the present step.
    held_told: str | None = None  #: Of that, what the history tells: a wait that is part of every rollout is left out.
    in_group: InGroup = field(default_factory=InGroup)  #: What the others of its group are to know of it.
    split_noted: int | None = None  #: The step at which the history says that new sessions do not follow the weight.

    @property
    def weight(self) -> int:
        """The canary's weight by the plan."""
        return self.policy.weight_at(self.step)

    @property
    def refuge(self) -> str | None:
        """The version to go back to; None: there is none, or there is none any more."""
        return None if self.is_stable_gone else self.stable

    @property
    def present_step(self) -> Step | None:
        """The step it stands on; None before the first."""
        return self.policy.steps[self.step - 1] if self.step else None

    @property
    def step_below_all(self) -> int | None:
        """The number of the last step before the one with all traffic; None: no weight of the plan compares."""
        steps = enumerate(self.policy.steps[: self.step], start=1)
        below = [at for at, step in steps if isinstance(step, WeightStep) and step.weight < 100]
        return below[-1] if below else None

    @property
    def waits_for_approval(self) -> bool:
        return isinstance(self.present_step, ApprovalStep)

    @property
    def needs_approvals(self) -> bool:
        """Whether certain people must approve, which nothing else replaces while there is something to compare with."""
        step = self.present_step
        return isinstance(step, ApprovalStep) and step.is_guarded and not self.is_stable_gone

    @property
    def approvals_missing(self) -> int:
        """How many more people must approve the present step."""
        step = self.present_step
        if not isinstance(step, ApprovalStep) or self.phase.is_final:
            return 0
        return max(step.count - len(self.approvals), 0)

    @property
    def is_on_last_step(self) -> bool:
        return self.step == len(self.policy.steps)

    def with_unconfirmed(self, change: UnconfirmedChange) -> "Rollout":
        """Return the rollout with ``change`` remembered, and those forgotten that arrive no more."""
        recent = tuple(each for each in self.unconfirmed_changes if change.sent_at - each.sent_at < MAY_ARRIVE_WITHIN)
        return replace(self, unconfirmed_changes=(*recent, change))

    @property
    def owes_stops(self) -> bool:
        """Whether sessions of the canary are still to be stopped, though it has ended."""
        return self.stops is not None and not self.stops.is_done

    def with_ending(self, version: str, status: str | None, now: datetime) -> "Rollout":
        """Return the rollout with the first read of that end remembered; None: the version is not at its end."""
        others = tuple(each for each in self.endings if each.version != version)
        if status is None:
            return replace(self, endings=others)
        first = next((each for each in self.endings if (each.version, each.status) == (version, status)), None)
        return replace(self, endings=(*others, first or Ending(version, status, now)))

    def is_at_its_end(self, version: str, now: datetime) -> bool:
        """Whether two reads, some seconds apart, said of ``version`` that nothing comes after."""
        return any(each.version == version and now - each.read_at >= READS_APART for each in self.endings)

    def step_age(self, now: datetime) -> timedelta:
        """How long the present step lasts by now, pauses and shared trouble left out."""
        if self.step_started_at is None:
            return timedelta(0)
        return now - self.step_started_at - self._pause(now) - self.step_trouble_time

    def age(self, now: datetime) -> timedelta:
        """How long the rollout lasts by now, since its start or since a person last resumed it."""
        since = self.resumed_at or self.started_at
        if since is None:
            return timedelta(0)
        stood = self._pause(now) or (now - self.held_since if self.held_since else timedelta(0))
        return now - since - stood - self.trouble_time - self.held_time

    def has_baked(self, now: datetime) -> bool:
        least = getattr(self.present_step, "min", timedelta(0))
        return self.step_age(now) >= least

    def is_step_overdue(self, now: datetime) -> bool:
        most = getattr(self.present_step, "max", None)
        return most is not None and self.step_age(now) >= most

    def _pause(self, now: datetime) -> timedelta:
        """Return how long the clocks have been standing: in a pause, or while both versions are in trouble."""
        since = self.paused_at or self.trouble_since
        return now - since if since else timedelta(0)

    def with_clocks(self, now: datetime, *, is_troubled: bool) -> "Rollout":
        """Return the rollout with its clocks standing where both versions are in trouble, and going otherwise."""
        if is_troubled and self.paused_at is None:
            return replace(self, trouble_since=self.trouble_since or now)
        if self.trouble_since is None:
            return self
        stood = now - self.trouble_since
        return replace(
            self,
            trouble_since=None,
            trouble_time=self.trouble_time + stood,
            step_trouble_time=self.step_trouble_time + stood,
        )
