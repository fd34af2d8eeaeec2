"""Agents that move in lockstep: nobody goes on before all would, and all go back with the first that ends.

Everything here rests on what the rollouts of the group wrote down, so that it comes out the same whoever died where.
Going back never waits for anybody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from foundry_rollouts.core.deciding.obey import retreat
from foundry_rollouts.core.deciding.reins import Rein, ReinKind
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.group import InGroup
from foundry_rollouts.core.model.rollout import Phase, Rollout

#: What nobody does alone.
TOGETHER = {Move.START: "starts", Move.ADVANCE: "goes on", Move.PROMOTE: "ends"}
#: How many of those that are waited for a sentence names.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Member:
    """Another agent of the group, as it stands."""

    agent: str
    current: Rollout | None = None  #: Its current rollout; None: nothing of it is on trial.
    of_run: Rollout | None = None  #: Its rollout in the run of whoever asks, ended or not.
    is_named: bool = True  #: Its policy names the group, too.


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """The group of a rollout: everybody in it but the rollout's own agent."""

    name: str
    others: tuple[Member, ...]
    trouble: str | None = None  #: Why nothing is known of the others: nobody goes on meanwhile.

    @property
    def fellows(self) -> list[Rollout]:
        """The other rollouts of the run, of agents that are still in the group."""
        return [each.of_run for each in self.others if each.of_run is not None]

    def is_whole(self, run: tuple[str, ...]) -> bool:
        """Whether all joined ``run``, which stands and falls together from then on.

        An agent that comes to the group once the first has started takes part in the next run.
        """
        fellows = self.fellows
        has_all = len(fellows) == len(self.others) or any(each.step for each in fellows)
        return bool(fellows) and has_all and all(each.in_group.run == run for each in fellows)


@dataclass(frozen=True, slots=True)
class InStep:
    """A decision as the group lets it be made, and the rollout with what the others are to know."""

    rollout: Rollout
    decision: Decision
    reins: tuple[Rein, ...]


@dataclass(frozen=True, slots=True)
class _Lack:
    """What one of the others lacks, and whether that is part of every rollout."""

    because: str
    waiting_for: str
    is_usual: bool = False


def takes_part(rollout: Rollout) -> bool:
    """Whether a rollout moves with its group: a return to the version before does not, nor what has no way back."""
    return not rollout.is_revert and rollout.refuge is not None


def pulled_back(rollout: Rollout, group: GroupSeen | None) -> Decision | None:
    """Return the way back of a rollout of whose run another one ended; None where there is none to follow."""
    if group is None or not takes_part(rollout):
        return None
    if not rollout.step and not group.is_whole(rollout.in_group.run):
        return None  # Nobody has started, nor can before this one joins: it waits for the next run.
    first = _first_to_end(group.fellows)
    if first is None:
        return None
    whose = f"together with agent {first.agent}, version {first.canary}: {first.because}"
    if rollout.step:
        return replace(retreat(rollout, f"rolled back {whose}"), ended_with=first.id)
    because = f"aborted {whose}. It had not begun, nothing was moved"
    return Decision(Move.ABORT, because, ended_with=first.id)


def _first_to_end(fellows: Sequence[Rollout]) -> Rollout | None:
    """Return the one that ended of itself, and not with another one; the earliest where several did."""
    ended = [each for each in fellows if has_failed(each)]
    return min(ended, key=lambda each: (each.in_group.ended_with is not None, each.ended_at, each.id), default=None)


def has_failed(rollout: Rollout) -> bool:
    """Whether a rollout ended, and its canary is not the stable version."""
    return rollout.phase.is_final and rollout.phase is not Phase.PROMOTED


def in_step(rollout: Rollout, decision: Decision, group: GroupSeen | None, held: Sequence[Rein]) -> InStep:
    """Return ``decision`` as the group lets it be made; ``held`` is by what it is held beside the group."""
    if group is None or not takes_part(rollout) or not _is_for_all(rollout, decision):
        known = replace(rollout.in_group, ready_at=None, ended_with=decision.ended_with)
        return InStep(_knowing(rollout, known), decision, tuple(held))
    run = rollout.in_group.run
    if not (rollout.step or held or group.trouble or group.is_whole(run)):
        run = _run_of(rollout, group)
    lacks = tuple(_lacks(rollout, group, run))
    known = replace(rollout.in_group, run=run, ready_at=rollout.step if lacks and not held else None)
    by_group = (_rein(group, decision, lacks),) if lacks else ()
    return InStep(_knowing(rollout, known), _one_step(rollout, decision, group), (*held, *by_group))


def _knowing(rollout: Rollout, known: InGroup) -> Rollout:
    return rollout if known == rollout.in_group else replace(rollout, in_group=known)


def _is_for_all(rollout: Rollout, decision: Decision) -> bool:
    """Whether a move waits for the group; a canary without its stable version is promoted to save it."""
    return decision.move in TOGETHER and not (decision.move is Move.PROMOTE and rollout.is_stable_gone)


def _one_step(rollout: Rollout, decision: Decision, group: GroupSeen) -> Decision:
    """Return a decision that skips no step: automatic steps of one agent may be more than another one's evidence."""
    if decision.move is not Move.ADVANCE or decision.step is None or decision.step <= rollout.step + 1:
        return decision
    because = f"{decision.because}; one step at a time, with group {group.name}"
    return replace(decision, step=rollout.step + 1, because=because)


def _run_of(rollout: Rollout, group: GroupSeen) -> tuple[str, ...]:
    """Return the run to join: the one that has begun with ``rollout`` in it, else that of all who are ready."""
    current = [each.current for each in group.others]
    for each in current:
        if each is not None and each.step and rollout.id in each.in_group.run:
            return each.in_group.run
    if any(_lack_of_start(rollout, each) for each in group.others):
        return ()
    return tuple(sorted([rollout.id, *(each.id for each in current if each is not None)]))


def _lacks(rollout: Rollout, group: GroupSeen, run: tuple[str, ...]) -> Iterator[_Lack]:
    if group.trouble:
        yield _Lack(f"the others cannot be read: {group.trouble}", "an answer of the database")
        return
    if rollout.step:
        # Who began by itself, before its agent came to the group, goes its way.
        yield from (lack for each in group.fellows if (lack := _lack_of_step(rollout, each)))
        return
    if run == rollout.in_group.run and group.is_whole(run):
        return
    lacks = [lack for each in group.others if (lack := _lack_of_start(rollout, each))]
    yield from lacks or [
        _Lack(f"{_named(each)} joins", f"{_named(each)} to join", is_usual=True) for each in group.others
    ]


def _lack_of_start(rollout: Rollout, member: Member) -> _Lack | None:
    """Return what keeps a member from starting with ``rollout``; None where nothing does."""
    other, who = member.current, _named(member)
    if not member.is_named:
        return _Lack(f"no policy of the group names {who}", f"a policy of the group that names {who}")
    if other is None:
        how = f"`rollout start --agent {member.agent} --version ...`"
        return _Lack(f"{who} has no version on trial", f"{who} to have a version on trial, by itself or by {how}")
    if other.step and rollout.id in other.in_group.run:
        return None
    if other.step or other.is_revert:
        return _Lack(f"{who}, is on trial already, at {other.weight}%", f"the trial of {who}, to end")
    if other.policy.weights != rollout.policy.weights:
        what = f"{who}, has other steps than version {rollout.canary}, since their policies were changed in between"
        return _Lack(what, f"{who}, or version {rollout.canary} to be aborted and retried")
    return None if other.in_group.ready_at == 0 else _lack_of(other, who, "has not begun")


def _lack_of_step(rollout: Rollout, other: Rollout) -> _Lack | None:
    """Return what keeps ``other`` from going on with ``rollout``; None where it does, or is ahead."""
    if other.phase.is_final or other.step > rollout.step:
        return None
    if other.step == rollout.step and other.in_group.ready_at == other.step:
        return None
    where = f"is at {other.weight}% and not ready to go on" if other.step else "has not begun"
    return _lack_of(other, _of(other), where)


def _lack_of(other: Rollout, who: str, where: str) -> _Lack:
    """Say why ``other`` is not ready. Sentences about the group are left out, for those would name one another."""
    if other.phase is Phase.PAUSED:
        return _Lack(f"{who}, is paused: {other.because}", f"{who}, to be resumed")
    by = [name for name in (other.held_by or "").split(", ") if name not in {"", ReinKind.GROUP}]
    if by:
        return _Lack(f"{who}, is held ({', '.join(by)})", f"what holds {who} ({', '.join(by)})")
    if other.waiting_for and not other.held_by:
        return _Lack(f"{who}, {where}: it waits for {other.waiting_for}", f"{who} ({other.waiting_for})", is_usual=True)
    return _Lack(f"{who}, {where}", who, is_usual=True)


def _rein(group: GroupSeen, decision: Decision, lacks: Sequence[_Lack]) -> Rein:
    because = f"group {group.name} {TOGETHER[decision.move]} together: {_some([each.because for each in lacks])}"
    waiting_for = f"group {group.name}: {_some([each.waiting_for for each in lacks])}"
    return Rein(ReinKind.GROUP, because, waiting_for, is_usual=all(each.is_usual for each in lacks))


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - NAMED
    return "; ".join([*texts[:NAMED], *([f"and {more} more"] if more > 0 else [])])


def _named(member: Member) -> str:
    return _of(member.current) if member.current else f"agent {member.agent}"


def _of(rollout: Rollout) -> str:
    return f"agent {rollout.agent}, version {rollout.canary}"
