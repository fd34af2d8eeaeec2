"""The verdict on numbers that must lie within bounds: so many windows in a row decide."""

from collections.abc import Sequence
from datetime import datetime

from foundry_rollouts.core.judging.analysis import GateReading, Verdict
from foundry_rollouts.core.judging.constants import STALE_AFTER
from foundry_rollouts.core.judging.values import ValueTrack
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.policy import Gate, Policy


def value_reading(
    policy: Policy, gate: Gate, bounds: Bounds, tracks: Sequence[ValueTrack], now: datetime
) -> GateReading:
    """Return what the gate says; it proves nothing, so a pass is no evidence for others."""
    verdict = _verdict(policy, bounds, tracks, now)
    speaker = _speaker(policy, verdict, tracks)
    return GateReading(
        gate=gate.name,
        verdict=verdict,
        because=("dry run: " if gate.is_dry_run else "") + _because(verdict, gate, bounds, speaker),
        canary_value=speaker.canary,
        stable_value=speaker.stable,
        threshold=bounds.max if bounds.max is not None else bounds.min,
        at_most_worse=0.0 if verdict is Verdict.PASS else None,
        on_failure=gate.on_failure,
        is_dry_run=gate.is_dry_run,
    )


def _verdict(policy: Policy, bounds: Bounds, tracks: Sequence[ValueTrack], now: datetime) -> Verdict:
    if any(track.outside >= bounds.windows for track in tracks):
        return Verdict.FAIL
    fresh = [track for track in tracks if (until := _fresh_until(policy, track)) and now <= until]
    if len(fresh) == len(tracks):
        return Verdict.PASS if all(track.inside >= bounds.windows for track in tracks) else Verdict.INSUFFICIENT
    if any(track.trouble for track in tracks):
        return Verdict.SOURCE_ERROR
    return Verdict.STALE if any(track.seen_at for track in tracks) else Verdict.NO_DATA


def _fresh_until(policy: Policy, track: ValueTrack) -> datetime | None:
    return track.seen_at + STALE_AFTER + policy.sources.lag(track.source) if track.seen_at else None


def _speaker(policy: Policy, verdict: Verdict, tracks: Sequence[ValueTrack]) -> ValueTrack:
    """Return the source that the verdict is owed to: the one that holds up the others."""
    match verdict:
        case Verdict.FAIL:
            return max(tracks, key=lambda track: track.outside)
        case Verdict.SOURCE_ERROR:
            return next(track for track in tracks if track.trouble)
        case Verdict.STALE | Verdict.NO_DATA:
            return min(tracks, key=lambda track: until.timestamp() if (until := _fresh_until(policy, track)) else 0.0)
        case _:
            return min(tracks, key=lambda track: track.inside)


def _because(verdict: Verdict, gate: Gate, bounds: Bounds, track: ValueTrack) -> str:
    match verdict:
        case Verdict.FAIL:
            return f"{gate.name}: {track.flaw}, {track.outside} windows in a row, seen by {track.source}"
        case Verdict.PASS:
            return f"{gate.name}: {track.canary:g} lies within its bounds, {track.inside} windows in a row"
        case Verdict.INSUFFICIENT:
            much = f"{track.inside} of {bounds.windows} windows in a row lie within its bounds"
            return f"{gate.name}: {much}" + (f"; the last, {track.flaw}" if track.flaw else "")
        case Verdict.SOURCE_ERROR:
            return f"{gate.name}: {track.source} cannot be read: {track.trouble}"
        case Verdict.STALE:
            return f"{gate.name}: no number for a while ({track.source}); what was seen is too old to decide on"
        case _:
            return f"{gate.name}: no number seen at this step yet ({track.source})"
