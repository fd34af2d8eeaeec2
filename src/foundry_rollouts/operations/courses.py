"""The course of a rollout up to now, as charts: of a rollout that was judged over again."""

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.measurement import seconds_of
from foundry_rollouts.core.model.policy import Gate
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.operations.progress import busiest
from foundry_rollouts.operations.replayed import JudgedRollout, Replays
from foundry_rollouts.operations.series import (
    RateSeries,
    Series,
    WeightPoint,
    chosen,
    mark_of,
    rate_points,
    weight_points,
)
from foundry_rollouts.ports import Readings


async def course_of(store: Readings, replays: Replays, rollout_id: str) -> Series:
    """Return the course of a rollout up to now. Raises NotFoundError for an unknown one."""
    rollout = await store.rollout(rollout_id)
    judged = await replays.of(store, rollout)
    # Many points take a while to be thinned; the service has rollouts to run meanwhile.
    return await asyncio.to_thread(_series, rollout, await store.history(rollout_id), judged)


def _series(rollout: Rollout, events: Sequence[Event], judged: JudgedRollout) -> Series:
    places = chosen([point.weight for point in judged.points])
    judge = rollout.policy.judge
    return Series(
        rollout=rollout.id,
        agent=rollout.agent,
        canary=rollout.canary,
        stable=rollout.stable,
        harm_enough_log10=-math.log10(judge.false_rollback),
        safe_enough_log10=-math.log10(judge.missed_bad),
        evidence=tuple(judged.points[place].evidence for place in places),
        rates=tuple(rates for gate in rollout.policy.gates if (rates := _rates(rollout, gate, judged, places))),
        weights=_weights(judged, places),
        marks=tuple(mark_of(event, rollout) for event in events),
    )


def _tracks(judged: JudgedRollout) -> tuple[Track, ...]:
    return judged.last.analysis.evidence.tracks if judged.last else ()


def _counted(judged: JudgedRollout, track: Track) -> list[tuple[datetime, Tally]]:
    """Return what the source of ``track`` had counted by each point."""
    return [(point.at, point.totals[track.gate, track.stratum]) for point in judged.points]


def _rates(rollout: Rollout, gate: Gate, judged: JudgedRollout, places: Sequence[int]) -> RateSeries | None:
    """Return one gate over time; None where it judges numbers, or nothing was seen."""
    track = busiest([track for track in _tracks(judged) if track.gate == gate.name])
    if track is None:
        return None
    points = rate_points(rollout.policy, gate, _counted(judged, track))
    slow = round(seconds_of(track.edges[0]), 3) if track.edges else None
    return RateSeries(gate.name, track.stratum, slow, tuple(points[place] for place in places))


def _weights(judged: JudgedRollout, places: Sequence[int]) -> tuple[WeightPoint, ...]:
    track = busiest(_tracks(judged))
    if track is None:
        return ()
    weights = [point.weight for point in judged.points]
    points = weight_points(weights, _counted(judged, track), is_telling=not track.is_probe)
    return tuple(points[place] for place in places)
