"""How often each agent's routing was restored between rollouts, against another controller, and what is reported."""

from dataclasses import dataclass, field
from datetime import datetime

from foundry_rollouts.core.model.contest import Contest, restored, still


@dataclass(slots=True)
class Wheel:
    """The contests of agents that have no rollout under way; a process that starts anew tells of them anew."""

    contests: dict[str, Contest] = field(default_factory=dict)

    def contest(self, agent: str, now: datetime) -> Contest | None:
        """Return the contest about ``agent`` as far as it continues."""
        return still(self.contests.get(agent), now)

    def is_resting(self, agent: str, now: datetime) -> bool:
        """Whether the routing was brought back a moment ago, and is left to the other hand for a while."""
        contest = self.contest(agent, now)
        return contest is not None and now < contest.until

    def turn(self, agent: str, now: datetime) -> bool:
        """Note that the routing is restored; return whether to report that."""
        contest = self.contests[agent] = restored(self.contests.get(agent), now)
        return contest.told_at == contest.at
