"""Which rollouts wait for those of other agents: for a place, for the agents before them, for the waves before them.

All of it holds a start and nothing else. What only observes moves nothing: it takes no place and waits for nobody, and
nobody waits for it. The return to the version that was stable before waits for nobody, either.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.deciding.places import Places, few, places_of
from foundry_rollouts.core.deciding.reins import Rein, ReinKind
from foundry_rollouts.core.model.agent_names import SEPARATOR, full_name, project_in
from foundry_rollouts.core.model.fleet import BadEnd, FleetFacts, Trial
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import RolloutsError

#: What lets others go on after a rollout that ended badly.
_SETTLED = "a promotion of it, or an acknowledgement"


class HeldError(RolloutsError):
    """A start has to wait after all: others were quicker."""

    def __init__(self, reins: tuple[Rein, ...]) -> None:
        super().__init__("; ".join(rein.because for rein in reins))
        self.reins = reins


@dataclass(frozen=True, slots=True)
class Survey:
    """How all agents stand, worked out once for all who ask."""

    limits: Limits
    facts: FleetFacts
    at: datetime
    trials: Sequence[Trial]
    places: Places
    by_agent: Mapping[str, Trial]
    by_wave: Mapping[int, Sequence[Trial | BadEnd]]

    def reins(self, me: Trial, policy: Policy) -> tuple[Rein, ...]:
        """Return what keeps ``me`` from its start; ``policy`` governs it now."""
        if me.is_observed or me.is_revert:
            return ()
        is_queued = me.rollout in self.places.asked
        places = self.places if is_queued else places_of(self.trials, self.limits, self.at, me)
        orders = (self._order(policy.name, agent) for agent in before(me.agent, policy))
        return tuple(rein for rein in (places.rein(me), *orders, self._wave(me)) if rein is not None)

    def _order(self, policy: str, agent: str) -> Rein | None:
        first = f"agent {agent} comes before it (policy {policy})"
        if agent not in self.facts.known:
            wish = f"agent {agent} to be there, or the policy to leave it out"
            return Rein(ReinKind.ORDER, f"{first}, and there is no agent of that name", wish)
        if trial := self.by_agent.get(agent):
            return Rein(ReinKind.ORDER, f"{first}: its {_stands(trial)}", f"the end of the rollout of agent {agent}")
        if end := self.facts.bad_ends.get(agent):
            return Rein(ReinKind.ORDER, f"{first}: its {_stands(end)}", f"agent {agent}: {_SETTLED}")
        return None

    def _wave(self, me: Trial) -> Rein | None:
        mine = self.limits.wave(me.labels)
        number = next((each for each in range(mine or 0) if self.by_wave.get(each)), None)
        if number is None:
            return None
        wave = f"wave {number + 1} ({' or '.join(self.limits.waves[number])})"
        those = few([f"agent {each.agent}, {_stands(each)}" for each in self.by_wave[number]])
        is_open = any(isinstance(each, Trial) for each in self.by_wave[number])
        what = "the end of its rollouts" if is_open else f"of each agent: {_SETTLED}"
        return Rein(ReinKind.WAVE, f"{wave} comes before it: {those}", f"{wave}: {what}")


def before(agent: str, policy: Policy) -> tuple[str, ...]:
    """Return the agents that come before ``agent`` by their full names; plain names are of its own project.

    It never waits for itself, nor for those that move in lockstep with it.
    """
    project, together = project_in(agent), {agent, *(policy.group.others(agent) if policy.group else ())}
    named = (name if SEPARATOR in name else full_name(project, name) for name in policy.after)
    return tuple(name for name in dict.fromkeys(named) if name not in together)


def survey(facts: FleetFacts, limits: Limits, at: datetime) -> Survey:
    """Return how all agents stand."""
    acting = (each for each in facts.trials if not each.is_observed)
    trials = sorted(acting, key=lambda each: (each.created_at, each.rollout))
    by_agent: dict[str, Trial] = {}
    for each in trials:
        if each.is_under_way or each.agent not in by_agent:
            by_agent[each.agent] = each
    ended = [end for agent, end in facts.bad_ends.items() if agent not in by_agent]
    by_wave = _by_wave([*by_agent.values(), *ended], limits) if limits.waves else {}
    return Survey(limits, facts, at, trials, places_of(trials, limits, at), by_agent, by_wave)


def _by_wave(waited_for: Sequence[Trial | BadEnd], limits: Limits) -> Mapping[int, Sequence[Trial | BadEnd]]:
    found = defaultdict[int, list[Trial | BadEnd]](list)
    for each in waited_for:
        wave = limits.wave(each.labels)
        if wave is not None:
            found[wave].append(each)
    return found


def _stands(each: Trial | BadEnd) -> str:
    """Return how the rollout of another agent stands."""
    version = f"version {each.canary}"
    if isinstance(each, BadEnd):
        word = {Phase.ROLLED_BACK: "was rolled back", Phase.DISABLED: "disabled the endpoint"}
        return f"{version} {word.get(each.phase, 'failed')}, and nobody acknowledged that"
    if each.phase is Phase.PAUSED:
        return f"{version} is paused"
    return f"{version} is {'under way' if each.is_under_way else 'waiting to start'}"
