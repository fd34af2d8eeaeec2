"""The traffic that a rollout calls for.

Acting, confirming, recovering after a crash and noticing drift are all comparisons with what stands here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.model.rollout import Phase, Rollout, UnconfirmedChange

LATEST = "@latest"  #: The cloud's word for "whatever was created last".


@dataclass(frozen=True, slots=True)
class Routing:
    """The weights of an endpoint: pairs of version and percent, sorted, without zeros; and whether it is open."""

    weights: tuple[tuple[str, int], ...]
    is_open: bool = True

    @classmethod
    def of(cls, weights: Mapping[str, int], *, is_open: bool = True) -> "Routing":
        """Build a routing from version to percent; versions at 0 are left out."""
        return cls(tuple(sorted((v, w) for v, w in weights.items() if w)), is_open)

    def weight(self, version: str) -> int:
        return dict(self.weights).get(version, 0)

    @property
    def is_pinned(self) -> bool:
        """Whether every version is named, so that a new one meets nobody by itself."""
        return LATEST not in dict(self.weights)

    def __str__(self) -> str:
        shares = ", ".join(f"version {version} at {weight}%" for version, weight in self.weights)
        return (shares or "no version") + ("" if self.is_open else " (endpoint disabled)")


def routing_of(rollout: Rollout) -> Routing:
    """Return the weight of each version that ``rollout`` calls for as it stands.

    A disabled rollout closes the endpoint; its weights go back to the stable version where there is one.
    """
    stable, canary = rollout.stable, rollout.canary
    if rollout.phase is Phase.DISABLED:
        return Routing.of({rollout.refuge or canary: 100}, is_open=False)
    if rollout.phase is Phase.PROMOTED or stable is None:
        return Routing.of({canary: 100})
    if rollout.phase in {Phase.PROGRESSING, Phase.PAUSED}:
        return Routing.of({stable: 100 - rollout.weight, canary: rollout.weight})
    return Routing.of({stable: 100})


def routings_of(rollout: Rollout) -> tuple[Routing, ...]:
    """Return every routing that the plan of ``rollout`` may have asked for on its way."""
    if rollout.stable is None:
        return (Routing.of({rollout.canary: 100}),)
    weights = {rollout.policy.weight_at(step) for step in range(len(rollout.policy.steps) + 1)}
    return tuple(Routing.of({rollout.stable: 100 - weight, rollout.canary: weight}) for weight in sorted(weights))


def arrived_late(rollouts: Iterable[Rollout], seen: Routing, since: datetime) -> UnconfirmedChange | None:
    """Return the change of ours, unanswered since ``since``, that made the weights as ``seen``; None: another hand."""
    changes = (change for rollout in rollouts for change in rollout.unconfirmed_changes)
    return next((change for change in changes if change.sent_at >= since and change.weights == seen.weights), None)


def is_way_back(rollouts: Sequence[Rollout], version: str, seen: Routing) -> bool:
    """Whether ``seen`` leaves ``version`` nothing, and gives all to versions that stood the test.

    That is what a person does in an emergency: it is never taken for a late change, whatever of ours is on its way.
    ``rollouts`` are the last ones of the agent, newest first; one whose trial ended badly is no way back.
    """
    return not seen.weight(version) and all(_stood(rollouts, each) for each, _ in seen.weights)


def _stood(rollouts: Sequence[Rollout], version: str) -> bool:
    for rollout in rollouts:
        if rollout.stable == version:
            return True
        if rollout.canary == version and rollout.phase.is_final:
            return rollout.phase is Phase.PROMOTED
    return True


def keep_closed(routing: Routing, seen: Routing) -> Routing:
    """Return ``routing``, closed where the endpoint was found closed: nothing here opens what a person closed."""
    return replace(routing, is_open=routing.is_open and seen.is_open)


def drift_of(rollout: Rollout, seen: Routing | None) -> str | None:
    """Say how the routing differs from the plan; None when it does not, or cannot be seen."""
    planned = routing_of(rollout)
    if seen is None or seen == planned or rollout.phase is not Phase.PROGRESSING:
        return None
    if not seen.is_open:
        return "somebody disabled the endpoint"
    versions = {version for version, _ in seen.weights}
    if LATEST in versions:
        return f"the endpoint follows {LATEST} again, the plan is {planned}"
    foreign = sorted(versions - {rollout.stable, rollout.canary})
    if foreign:
        return f"somebody routed to version {', '.join(foreign)}: {seen}, the plan is {planned}"
    return f"somebody changed the routing to {seen}, the plan is {planned}"
