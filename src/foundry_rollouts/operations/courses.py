"""The courses of rollouts that somebody watches: each is judged over again once, and goes on from there.

Hours of ticks take a second to judge again; a page that is open asks every few seconds.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.measurement import Measurement, seconds_of
from foundry_rollouts.core.model.policy import Gate
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.replay.recorded import ReplayedTick, Replayer
from foundry_rollouts.operations.backtest import moves_of
from foundry_rollouts.operations.progress import busiest
from foundry_rollouts.operations.series import (
    EvidencePoint,
    RateSeries,
    Series,
    WeightPoint,
    chosen,
    evidence_point,
    mark_of,
    rate_points,
    weight_points,
)
from foundry_rollouts.ports import Readings

KEPT = 16  #: Courses that are kept; who asks for another one waits until it is judged again.

Stratum = tuple[str, str]  #: A gate and one of its sources.


@dataclass(slots=True)
class Course:
    """One rollout as far as it was judged again."""

    replayer: Replayer
    known: int = 0  #: Measurements that were taken in.
    points: list[EvidencePoint] = field(default_factory=list)
    totals: list[dict[Stratum, Tally]] = field(default_factory=list)  #: What each source had counted by each point.
    tracks: tuple[Track, ...] = ()  #: As of the last point.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def go_on(self, rollout: Rollout, events: Sequence[Event], measured: Sequence[Measurement]) -> Series:
        """Take in what was measured since, and return the whole course."""
        self.known += len(measured)
        for tick in self.replayer.go_on(moves_of(rollout, events), measured):
            self._add(rollout, tick)
        places = chosen([point.weight for point in self.points])
        judge = rollout.policy.judge
        return Series(
            rollout=rollout.id,
            agent=rollout.agent,
            canary=rollout.canary,
            stable=rollout.stable,
            harm_enough_log10=-math.log10(judge.false_rollback),
            safe_enough_log10=-math.log10(judge.missed_bad),
            evidence=tuple(self.points[place] for place in places),
            rates=tuple(rates for gate in rollout.policy.gates if (rates := self._rates(rollout, gate, places))),
            weights=self._weights(places),
            marks=tuple(mark_of(event, rollout) for event in events),
        )

    def _add(self, rollout: Rollout, tick: ReplayedTick) -> None:
        self.points.append(evidence_point(rollout.policy, tick))
        self.tracks = tick.analysis.evidence.tracks
        self.totals.append({(track.gate, track.stratum): track.total for track in self.tracks})

    def _counted(self, track: Track) -> list[tuple[datetime, Tally]]:
        key = track.gate, track.stratum
        return [(point.at, totals[key]) for point, totals in zip(self.points, self.totals, strict=True)]

    def _rates(self, rollout: Rollout, gate: Gate, places: Sequence[int]) -> RateSeries | None:
        """Return one gate over time; None where it judges numbers, or nothing was seen."""
        track = busiest([track for track in self.tracks if track.gate == gate.name])
        if track is None:
            return None
        points = rate_points(rollout.policy, gate, self._counted(track))
        slow = round(seconds_of(track.edges[0]), 3) if track.edges else None
        return RateSeries(gate.name, track.stratum, slow, tuple(points[place] for place in places))

    def _weights(self, places: Sequence[int]) -> tuple[WeightPoint, ...]:
        track = busiest(self.tracks)
        if track is None:
            return ()
        weights = [point.weight for point in self.points]
        points = weight_points(weights, self._counted(track), is_telling=not track.is_probe)
        return tuple(points[place] for place in places)


class Courses:
    """The courses of the rollouts that were asked for lately."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Course] = OrderedDict()
        self._at_work: set[asyncio.Task[Series]] = set()

    async def series(self, store: Readings, rollout_id: str) -> Series:
        """Return the course of a rollout up to now. Raises NotFoundError for an unknown one."""
        rollout = await store.rollout(rollout_id)
        course = self._kept.setdefault(rollout_id, Course(Replayer.of(rollout)))
        self._kept.move_to_end(rollout_id)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        # Who asked may leave; a course is never left half taken in.
        work = asyncio.create_task(self._go_on(store, rollout, course))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        return await asyncio.shield(work)

    async def _go_on(self, store: Readings, rollout: Rollout, course: Course) -> Series:
        # Two who ask at once must not take the same measurements in twice.
        async with course.lock:
            try:
                measured = await store.measurements_behind(rollout.id, course.known)
                events = await store.history(rollout.id)
                # The daemon has rollouts to run meanwhile.
                return await asyncio.to_thread(course.go_on, rollout, events, measured)
            except Exception:
                self._kept.pop(rollout.id, None)
                raise
