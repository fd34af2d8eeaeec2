"""What rollouts wait for that is about other agents: read at most once a second for all of them.

Only a start waits, so that nothing is read for rollouts under way, nor where neither a limit nor a policy asks for it.
What was read may be a second old; the transaction that records a start counts places and asks for the agents before
once more, one start after the other.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.core.deciding.fleet import HeldError, Survey, before, survey
from foundry_rollouts.core.deciding.reins import Rein, ReinKind
from foundry_rollouts.core.model.fleet import FleetFacts, FleetQuestion, Trial
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import UsageError
from foundry_rollouts.ports import Admission, FleetStore, LimitsKnown, Policies

log = structlog.get_logger()

#: How long what was read holds, in seconds, and how much of the time may go into reading it.
HOLDS_FOR, SHARE = 1.0, 0.05
#: New versions of many agents are found in one listing, one after the other: how long that takes at most.
SETTLES_WITHIN = timedelta(seconds=3)


@dataclass(slots=True)
class AllAgents:
    """Satisfies ``ports.Fleet``."""

    store: FleetStore
    policies: Policies
    limits: LimitsKnown
    elapsed: Callable[[], float]
    _known: Survey | None = None
    _good_until: float = 0.0
    _named: set[str] = field(default_factory=set)  #: Agents that come before others.
    _labels: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    _labelled_by: Sequence[Policy] = ()
    _check_at: float = 0.0
    _told: tuple[str, ...] = ()  #: What is wrong, as it was logged.
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reins(self, rollout: Rollout, policy: Policy, now: datetime) -> tuple[Rein, ...]:
        """Return what keeps ``rollout`` from its start; ``policy`` governs its agent now."""
        limits = self.limits.now()
        self._check(limits)
        if not _may_wait(rollout, policy, limits):
            return ()
        known = await self._surveyed(limits, before(rollout.agent, policy), now)
        found = known.reins(_trial(rollout, policy), policy)
        return found or _unsettled(rollout, policy, known)

    def admission(self, rollout: Rollout, policy: Policy, now: datetime) -> Admission | None:
        """Return what decides about its start at the last moment; None where nothing of others could hold it."""
        limits = replace(self.limits.now(), waves=())
        if not _may_wait(rollout, policy, limits):
            return None

        def refuse(facts: FleetFacts) -> None:
            known = survey(self._labelled(facts), limits, now)
            if reins := known.reins(_trial(rollout, policy), policy):
                raise HeldError(reins)

        run = rollout.in_group.run
        asked = FleetQuestion(before(rollout.agent, policy), before=rollout.created_at, run=run)
        return Admission(asked, refuse)

    async def _surveyed(self, limits: Limits, named: Sequence[str], now: datetime) -> Survey:
        async with self._reading:
            known, is_news = self._known, not self._named.issuperset(named)
            if known is None or is_news or limits is not known.limits or self.elapsed() >= self._good_until:
                self._named.update(named)
                began = self.elapsed()
                facts = await self.store.fleet(FleetQuestion(tuple(sorted(self._named)), bool(limits.waves)))
                known = self._known = survey(self._labelled(facts), limits, now)
                ended = self.elapsed()
                self._good_until = ended + max(HOLDS_FOR, (ended - began) / SHARE)
            return known

    def _labelled(self, facts: FleetFacts) -> FleetFacts:
        """Return the facts with the labels that policies give now; those of the rollout's own where none governs."""
        policies = self.policies.all()
        if policies != self._labelled_by:
            self._labels, self._labelled_by = {}, policies
        trials = (replace(each, labels=self._labels_of(each.agent, each.labels)) for each in facts.trials)
        ends = {agent: replace(end, labels=self._labels_of(agent, ())) for agent, end in facts.bad_ends.items()}
        return replace(facts, trials=tuple(trials), bad_ends=ends)

    def _labels_of(self, agent: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
        if agent not in self._labels:
            try:
                policy = self.policies.policy_for(agent)
            except UsageError:
                policy = None
            self._labels[agent] = policy.labels if policy else None
        labels = self._labels[agent]
        return otherwise if labels is None else labels

    def _check(self, limits: Limits) -> None:
        """Log once what is wrong with the limits: their file, and labels that no policy gives."""
        if self.elapsed() < self._check_at:
            return
        self._check_at = self.elapsed() + HOLDS_FOR
        given = {label for policy in self.policies.all() for label in policy.labels}
        nobodys = (f"label {name}: no policy gives it to an agent" for name in limits.names() if name not in given)
        problems = (*self.limits.problems, *nobodys)
        for line in problems:
            if line not in self._told:
                log.warning("limits.problem", because=line)
        self._told = problems


def _may_wait(rollout: Rollout, policy: Policy, limits: Limits) -> bool:
    """Whether anything of others could hold the start of ``rollout``."""
    if rollout.step or rollout.is_revert or rollout.policy.observes:
        return False
    return bool(policy.after or limits.scopes(rollout.agent, policy.labels) or limits.wave(policy.labels))


def _unsettled(rollout: Rollout, policy: Policy, known: Survey) -> tuple[Rein, ...]:
    """Return the wait of a rollout that was just created: who comes before it may get a new version with it."""
    kind = ReinKind.ORDER if policy.after else ReinKind.WAVE if known.limits.wave(policy.labels) else None
    if kind is None or known.at >= rollout.created_at + SETTLES_WITHIN:
        return ()
    because = "it was created a moment ago, and the agents that come before it may get new versions at the same time"
    return (Rein(kind, because, "the agents that come before it to be listed", is_usual=True),)


def _trial(rollout: Rollout, policy: Policy) -> Trial:
    return Trial(
        rollout=rollout.id,
        agent=rollout.agent,
        canary=rollout.canary,
        created_at=rollout.created_at,
        phase=rollout.phase,
        labels=policy.labels,
        run=rollout.in_group.run,
    )
