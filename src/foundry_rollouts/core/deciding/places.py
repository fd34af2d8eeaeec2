"""Who has a place, and who waits for one: the queue in front of a limit.

A rollout takes its place with its start and keeps it to its end. Places are counted from the rollouts each time, so
that none is ever lost. First come, first served; whoever could not start anyhow lets others pass.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.core.deciding.reins import Rein, ReinKind
from foundry_rollouts.core.model.fleet import Trial
from foundry_rollouts.core.model.limits import Limits, Scope, named
from foundry_rollouts.core.model.rollout import Phase

#: How long after it was due a rollout in the queue keeps its turn: nobody ticks it, so it cannot start.
TURN_KEPT = timedelta(seconds=30)
MOST_NAMES = 5  #: In one sentence.
_ENDINGS = "thstndrd"  #: Of ordinal numbers, two letters each: for 0, 1, 2 and 3.


@dataclass(frozen=True, slots=True)
class _Wait:
    """For which place a rollout waits, as how manieth, and how many places go to others before one is its own."""

    scope: Scope
    number: int
    ahead: int
    needs: int  #: Places at once: more than one for a group.


@dataclass(slots=True)
class Places:
    """The places of every limit, dealt out in the order in which the rollouts were created."""

    limits: Limits
    under_way: dict[Scope, list[Trial]] = field(default_factory=lambda: defaultdict(list))
    asked: set[str] = field(default_factory=set)  #: Rollouts that have a place, or wanted one.
    _taken: Counter[Scope] = field(default_factory=Counter)
    _lines: Counter[Scope] = field(default_factory=Counter)
    _waits: dict[str, list[_Wait]] = field(default_factory=dict)
    _is_kept: bool = False  #: Somebody who needs several places keeps those that became free.

    def keep(self, trial: Trial) -> None:
        """Note that ``trial`` has its places."""
        self.asked.add(trial.rollout)
        for scope in self.limits.scopes(trial.agent, trial.labels):
            self.under_way[scope].append(trial)
            self._taken[scope] += 1

    def give(self, trials: Sequence[Trial]) -> None:
        """Give ``trials``, which start together, their places where all are free; else a number in each queue."""
        self.asked.update(each.rollout for each in trials)
        needs = Counter(scope for each in trials for scope in self.limits.scopes(each.agent, each.labels))
        full = [scope for scope in needs if not self._has_room(scope, needs[scope])]
        if not full:
            self._taken.update(needs)
            return
        for scope in full:
            self._lines[scope] += 1
        ahead = {scope: self._taken[scope] - len(self.under_way.get(scope, ())) for scope in full}
        waits = [_Wait(scope, self._lines[scope], ahead[scope], needs[scope]) for scope in full]
        self._waits.update({each.rollout: waits for each in trials})
        is_greedy = max(needs.values()) > 1 or len([scope for scope in needs if scope[0] is not None]) > 1
        if is_greedy and not self._is_kept:
            # Otherwise those who need one place could take turns, and it would wait for ever.
            self._is_kept = True
            self._taken.update(needs)

    def _has_room(self, scope: Scope, needs: int) -> bool:
        """Whether so many places are free; a group that is larger than the limit starts when nobody is under way."""
        most = self.limits.most(scope)
        return self._taken[scope] + needs <= most or (needs > most and not self._taken[scope])

    def rein(self, trial: Trial) -> Rein | None:
        """Return what ``trial`` waits for; None where it has all its places."""
        waits = self._waits.get(trial.rollout)
        if not waits:
            return None
        because = "; ".join(self._said(wait) for wait in waits)
        return Rein(ReinKind.QUEUE, because, f"a place of {' and of '.join(named(wait.scope) for wait in waits)}")

    def _said(self, wait: _Wait) -> str:
        under_way, most = self.under_way.get(wait.scope, []), self.limits.most(wait.scope)
        are = "rollout is" if most == 1 else "rollouts are"
        who = f" ({few([_name(each) for each in under_way])})" if under_way else ""
        ahead = "the next place is" if wait.ahead == 1 else f"the next {wait.ahead} places are"
        others = f", and {ahead} taken" if wait.ahead > 0 else ""
        group = f", and its group needs {wait.needs} at once" if wait.needs > 1 else ""
        queue = f"{_ordinal(wait.number)} of {self._lines[wait.scope]} in the queue of {named(wait.scope)}"
        return f"{queue}: {len(under_way)} of {most} {are} under way{who}{others}{group}"


def places_of(trials: Iterable[Trial], limits: Limits, now: datetime, me: Trial | None = None) -> Places:
    """Return the places as ``trials`` have them, with ``me`` in the queue whatever its last tick recorded.

    A group has its places once the first of it is under way: the others start by that.
    """
    places, queue = Places(limits), [me] if me else []
    there = {each.rollout: each for each in trials} | {each.rollout: each for each in queue}
    begun = {rollout for each in there.values() if each.is_under_way for rollout in each.run}
    for each in there.values():
        if each.is_under_way or each.rollout in begun:
            places.keep(each)
        elif each is not me and _waits_for_a_place(each, now):
            queue.append(each)
    for each in sorted(queue, key=lambda each: (each.created_at, each.rollout)):
        if each.rollout not in places.asked:
            places.give([there[rollout] for rollout in each.run if rollout in there] or [each])
    return places


def _waits_for_a_place(trial: Trial, now: datetime) -> bool:
    """Whether nothing but a place is missing, and somebody ticks it."""
    is_ticked = trial.due_at is not None and trial.due_at > now - TURN_KEPT
    return trial.held_by == ReinKind.QUEUE and trial.phase is Phase.PENDING and is_ticked


def few(names: list[str]) -> str:
    """Return some of ``names``, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _name(trial: Trial) -> str:
    return f"{trial.agent}, which is paused" if trial.phase is Phase.PAUSED else trial.agent


def _ordinal(number: int) -> str:
    last = 0 if number % 100 in {11, 12, 13} or number % 10 > 3 else number % 10
    return f"{number}{_ENDINGS[2 * last : 2 * last + 2]}"
