"""Which agents a policy governs, and what is recorded when one loses its policy.

Nobody tests the new versions of an agent without a policy, so that losing one is a fact of the history.
"""

from dataclasses import dataclass, field
from datetime import datetime

import structlog

from foundry_rollouts.core.model.event import Event, number_at, of_agent
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.errors import UsageError
from foundry_rollouts.ports import AgentKnown, Policies

log = structlog.get_logger()

MOST_NAMES = 5  #: Of agents, in one line of the log.


@dataclass(frozen=True, slots=True)
class Survey:
    """How many agents of one listing are governed, and what is said of those that two policies name equally."""

    governed: int = 0
    ungoverned: int = 0
    ties: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()  #: What is said of items that have no name.


@dataclass(slots=True)
class Governance:
    """Says which policy governs an agent, and remembers for one listing who has none."""

    policies: Policies
    governed: int = 0
    ungoverned: int = 0
    ties: list[str] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  #: Agents that had a policy at the listing before.
    unreported: set[str] = field(default_factory=set)  #: Agents without a policy of which no tie is to be reported yet.

    def policy_for(self, known: AgentKnown) -> Policy | None:
        """Return the policy of an agent; None when none names it, or two do equally."""
        tie: str | None = None
        try:
            policy = self.policies.policy_for(known.name)
        except UsageError as error:
            policy, tie = None, str(error)
            self.ties.append(tie)
        self.governed += policy is not None
        self.ungoverned += policy is None
        if policy is None and known.policy is not None:
            self.lost.append(known.name)
        return policy

    def is_loss(self, known: AgentKnown, policy: Policy | None) -> bool:
        """Whether the agent had a policy and has none now, or has too many of them for the first time."""
        if policy is not None:
            self.unreported.discard(known.name)
            return False
        is_tied = any(each.matches(known.name) is not None for each in self.policies.all())
        if not is_tied or known.seen_at is None:
            self.unreported.add(known.name)
        return known.policy is not None or (is_tied and known.name in self.unreported)

    def survey(self) -> Survey:
        """Return what was seen, and log once that agents lost their policies."""
        if self.lost:
            count = len(self.lost)
            who, whose = ("1 agent is", "its") if count == 1 else (f"{count} agents are", "their")
            because = f"{who} no longer governed: {whose} new versions get no trial"
            log.warning("agents.ungoverned", because=because, count=count, agents=sorted(self.lost)[:MOST_NAMES])
        for because in self.nameless:
            log.warning("agent.nameless", because=because)
        return Survey(self.governed, self.ungoverned, tuple(self.ties), tuple(self.nameless))


def lost_policy(known: AgentKnown, policies: Policies, now: datetime) -> Event:
    """Return the event of an agent whose policy, known until now, governs it no more."""
    which = number_at(now)
    try:
        policies.policy_for(known.name)
    except UsageError as error:
        why = str(error)
        # Where it had none before, nothing else keeps two replicas from saying the same.
        which = which if known.policy else why
    else:
        why = f"policy {known.policy} no longer matches agent {known.name}, and no other policy does"
    kept = f"; the endpoint stays as it is, with version {known.stable} as the stable one" if known.stable else ""
    because = f"{why}: its new versions get no trial{kept}"
    return of_agent(known.name, "agent.ungoverned", because, now, which).showing(known.routing)
