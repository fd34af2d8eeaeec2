"""Which command makes sense of a rollout as it stands, and what is said where it makes none.

Two parties go by this table: whoever takes a command from a person, and the tick that carries it out. In between the
rollout may have moved on, so that each asks anew, and has a sentence of its own. The first row that holds decides.
"""

from collections.abc import Callable
from dataclasses import dataclass

from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.rollout import Phase, Rollout


@dataclass(frozen=True, slots=True)
class Rule:
    """Where some verbs make no sense; a sentence goes on after "the rollout", None is no objection."""

    verbs: frozenset[Verb]
    holds: Callable[[Rollout], bool]
    when_asked: str | None = None
    when_due: str | None = None


def _is_paused(rollout: Rollout) -> bool:
    return rollout.phase is Phase.PAUSED


def _begins_by_itself(rollout: Rollout) -> bool:
    return rollout.step == 0 and not _is_paused(rollout)


_STABLE_GONE = "stable version {rollout.stable} was deleted, and there is nothing to compare with: promote or abort"
_NOT_BEGUN = "it has not begun, and begins by itself"

RULES = (
    Rule(
        frozenset(Verb),
        lambda rollout: rollout.phase.is_final,
        when_asked="has ended: it is {rollout.phase}; start or retry begins a new one",
    ),
    Rule(
        frozenset({Verb.PAUSE}),
        _is_paused,
        when_asked="is paused already",
        when_due="it is paused already",
    ),
    Rule(
        frozenset({Verb.PROMOTE}),
        lambda rollout: rollout.phase is Phase.PENDING,
        when_asked="is pending: its canary takes no traffic yet, so there is nothing to promote",
    ),
    Rule(
        frozenset({Verb.PROMOTE}),
        lambda rollout: rollout.needs_approvals,
        when_asked="waits for approvals that its policy wants, and to promote replaces none: approve, or abort",
        when_due="its policy wants approvals here, and to promote replaces none",
    ),
    Rule(
        frozenset({Verb.RESUME}),
        lambda rollout: not _is_paused(rollout),
        when_asked="is {rollout.phase}, not paused: there is nothing to resume",
    ),
    Rule(
        frozenset({Verb.APPROVE}),
        _is_paused,
        when_asked="is paused: resume it, then approve",
    ),
    Rule(
        frozenset({Verb.APPROVE}),
        lambda rollout: not rollout.waits_for_approval,
        when_asked="waits for no approval now",
    ),
    Rule(
        frozenset({Verb.APPROVE}),
        lambda rollout: rollout.is_stable_gone,
        when_due=_STABLE_GONE,
    ),
    Rule(
        frozenset({Verb.RESUME}),
        lambda rollout: rollout.is_stable_gone and rollout.step > 0,
        when_due=_STABLE_GONE,
    ),
    Rule(
        frozenset({Verb.RESUME, Verb.PROMOTE}),
        lambda rollout: rollout.is_stable_gone and _begins_by_itself(rollout),
        when_due=_STABLE_GONE,
    ),
    Rule(
        frozenset({Verb.RESUME, Verb.PROMOTE}),
        _begins_by_itself,
        when_due=_NOT_BEGUN,
    ),
    Rule(
        frozenset({Verb.APPROVE}),
        lambda rollout: rollout.step == 0,
        when_due=_NOT_BEGUN,
    ),
    Rule(
        frozenset({Verb.RESUME}),
        lambda rollout: not _is_paused(rollout),
        when_due="it is not paused",
    ),
    Rule(
        frozenset({Verb.APPROVE}),
        lambda rollout: not rollout.waits_for_approval,
        when_due="it waits for no approval",
    ),
)


def objection_when_asked(rollout: Rollout, verb: Verb) -> str | None:
    """Say why ``verb`` is not taken for ``rollout`` as it stands; None when it is."""
    return _first(rollout, verb, lambda rule: rule.when_asked)


def objection_when_due(rollout: Rollout, verb: Verb) -> str | None:
    """Say why nothing can be done about ``verb``, which was taken before; None when something can."""
    return _first(rollout, verb, lambda rule: rule.when_due)


def _first(rollout: Rollout, verb: Verb, sentence: Callable[[Rule], str | None]) -> str | None:
    said = (sentence(rule) for rule in RULES if verb in rule.verbs and rule.holds(rollout))
    first = next((each for each in said if each is not None), None)
    return first.format(rollout=rollout) if first else None
