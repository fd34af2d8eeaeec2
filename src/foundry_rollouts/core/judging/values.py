"""Numbers of the canary that must lie within bounds: how many windows in a row did, and did not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.policy import Policy


@dataclass(frozen=True, slots=True)
class ValueTrack:
    """What one source says about one number."""

    gate: str
    source: str
    canary: float | None = None  #: The last number, None before the first.
    stable: float | None = None
    flaw: str | None = None  #: How the last number lay out of bounds.
    inside: int = 0  #: Windows in a row, at this step.
    outside: int = 0
    seen_at: datetime | None = None
    trouble: str | None = None


def tracked(policy: Policy) -> tuple[ValueTrack, ...]:
    """Return the tracks of a rollout that has seen nothing yet."""
    return tuple(ValueTrack(gate.name, source) for gate in policy.gates if gate.bounds for source in gate.sources)


def at_new_step(tracks: Sequence[ValueTrack]) -> tuple[ValueTrack, ...]:
    """Return the tracks with which a step at another weight begins."""
    return tuple(replace(track, inside=0, outside=0, seen_at=None) for track in tracks)


def valued(tracks: Sequence[ValueTrack], policy: Policy, seen: Measurement) -> tuple[ValueTrack, ...]:
    """Return ``tracks`` after a measurement."""
    bounds = {gate.name: gate.bounds for gate in policy.gates if gate.bounds}
    return tuple(
        _watched(track, bounds[track.gate], seen) if track.source == seen.source else track for track in tracks
    )


def compared(bounds: Bounds, seen: Measurement, last: float | None) -> tuple[float, float | None] | None:
    """Return the numbers of canary and stable; None where the window says nothing about ``bounds``.

    Where stable tells none, as at 100% of the traffic, its ``last`` one counts.
    """
    canary, stable = (dict(counts.values).get(bounds.name) for counts in (seen.canary, seen.stable))
    stable = last if stable is None else stable
    return None if canary is None or (bounds.is_relative and stable is None) else (canary, stable)


def _watched(track: ValueTrack, bounds: Bounds, seen: Measurement) -> ValueTrack:
    if (numbers := compared(bounds, seen, track.stable)) is None:
        return _unseen(track, bounds, seen)
    canary, stable = numbers
    violation = bounds.violation(canary, stable)
    return replace(
        track,
        canary=canary,
        stable=stable,
        flaw=violation,
        inside=0 if violation else track.inside + 1,
        outside=track.outside + 1 if violation else 0,
        seen_at=seen.window.end,
        trouble=None,
    )


def _unseen(track: ValueTrack, bounds: Bounds, seen: Measurement) -> ValueTrack:
    """Note why there is no number; one that cannot be read interrupts those in a row that lay within bounds."""
    unread_here = (dict(counts.unread).get(bounds.name) for counts in (seen.canary, seen.stable))
    unread = next((because for because in unread_here if because), None)
    return replace(track, trouble=unread or seen.trouble, inside=0 if unread else track.inside)
