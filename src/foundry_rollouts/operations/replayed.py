"""A rollout judged over again from what was measured, and kept small enough to be drawn again and again.

Hours of ticks take a second to judge again; a page that is open asks every few seconds, and so does who draws charts.
"""

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.harm import breach_of, harm_of, part_of
from foundry_rollouts.core.judging.logarithms import log_sum
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.measurement import Measurement, Tallied
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.replay.recorded import ReplayedTick, Replayer
from foundry_rollouts.operations.backtest import moves_of
from foundry_rollouts.operations.explain import GateExplained, gates_explained
from foundry_rollouts.operations.explain_values import Numbers
from foundry_rollouts.operations.series import EvidencePoint, evidence_point
from foundry_rollouts.ports import Readings

#: Rollouts whose points are kept; who opens another one waits until it is judged again.
KEPT = 16
#: So many measurements are judged at once; more in a thread of their own.
FEW = 20

Key = tuple[str, str]  #: Of a gate and one of its strata.


@dataclass(frozen=True, slots=True)
class Point:
    """How a rollout stood at one tick. Evidence as natural logarithms; counts since the start of the trial."""

    at: datetime
    weight: int
    step: int
    safe: float  #: Of the gate that proves least.
    harm: float  #: Of all gates together.
    totals: Mapping[Key, Tally]
    troubles: Mapping[str, str]  #: Why sources could not count, by source.
    evidence: EvidencePoint  #: The same as people and programs read it.


@dataclass(frozen=True, slots=True)
class Causes:
    """Why calls failed in one window, on either version, as one source saw it."""

    at: datetime
    source: str
    canary: Tallied
    stable: Tallied


@dataclass(frozen=True, slots=True)
class JudgedRollout:
    """The points of a rollout; ``explained`` says by the id of an event how the gates stood when it fell."""

    points: tuple[Point, ...] = ()
    last: ReplayedTick | None = None
    explained: Mapping[str, tuple[GateExplained, ...]] = field(default_factory=dict)
    causes: tuple[Causes, ...] = ()
    is_whole: bool = True  #: False: the past is still being judged, and nothing of it is known yet.

    @property
    def at_step(self) -> tuple[Point, ...]:
        """The points of the present step."""
        if not self.points:
            return ()
        step = self.points[-1].step
        first = max((i for i, each in enumerate(self.points) if each.step != step), default=-1)
        return self.points[first + 1 :]


@dataclass(slots=True)
class Replay:
    """One rollout as far as it was judged again; it goes on from there."""

    replayer: Replayer
    numbers: Numbers
    known: int = 0  #: Measurements that were taken in.
    points: list[Point] = field(default_factory=list)
    last: ReplayedTick | None = None
    explained: dict[str, tuple[GateExplained, ...]] = field(default_factory=dict)
    causes: list[Causes] = field(default_factory=list)
    work: asyncio.Task[JudgedRollout] | None = None  #: Under way, or the last that was.

    @classmethod
    def of(cls, rollout: Rollout) -> "Replay":
        """Begin before the first measurement."""
        bounds = tuple(gate.bounds for gate in rollout.policy.gates if gate.bounds)
        return cls(Replayer.of(rollout), Numbers(bounds))

    def go_on(self, rollout: Rollout, events: Sequence[Event], measured: Sequence[Measurement]) -> JudgedRollout:
        """Take in what was measured since, and return all of it: how it stood at each tick and at each event."""
        at_events = {event.at: event.id for event in events}
        self.known += len(measured)
        self.causes += _causes(measured)
        for tick in self.replayer.go_on(moves_of(rollout, events), measured):
            self.numbers.add(tick)
            self.points.append(_point(tick))
            if event := at_events.get(tick.now):
                self.explained[event] = gates_explained(tick, self.numbers)
            self.last = tick
        return JudgedRollout(tuple(self.points), self.last, dict(self.explained), _loudest(self.causes))


def _causes(measured: Sequence[Measurement]) -> list[Causes]:
    return [
        Causes(each.window.end, each.source, each.canary.causes, each.stable.causes)
        for each in measured
        if each.canary.causes or each.stable.causes
    ]


def _loudest(causes: Sequence[Causes]) -> tuple[Causes, ...]:
    """Return why calls failed; of several sources that see the same users, the one that heard of most failures."""
    heard = Counter[str]()
    for each in causes:
        heard[each.source] += sum(count for _, count in each.canary)
    loudest = heard.most_common(1)
    return tuple(each for each in causes if each.source == loudest[0][0]) if loudest else ()


def _point(tick: ReplayedTick) -> Point:
    evidence, policy = tick.analysis.evidence, tick.rollout.policy
    parts = {gate: math.log(part) for gate in policy.gates if (part := part_of(policy, gate))}
    harm = max(
        log_sum(part + measure(evidence, gate) for gate, part in parts.items()) for measure in (harm_of, breach_of)
    )
    safe = [each.safe_log for each, gate in zip(tick.analysis.gates, policy.gates, strict=True) if gate in parts]
    return Point(
        at=tick.now,
        weight=tick.weight,
        step=tick.rollout.step,
        safe=min(safe, default=0.0),
        harm=harm,
        totals={(track.gate, track.stratum): track.total for track in evidence.tracks},
        troubles={each.source: each.trouble for each in tick.measurements if each.trouble},
        evidence=evidence_point(policy, tick),
    )


class Replays:
    """Judges rollouts again for everybody who watches them: each once, however many they are."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Replay] = OrderedDict()

    async def of(self, store: Readings, rollout: Rollout, within: timedelta | None = None) -> JudgedRollout:
        """Return how ``rollout`` stood at each tick; nothing where that is not worked out ``within`` a time.

        It is worked out all the same, and there for whoever asks next.
        """
        replay = self._kept.setdefault(rollout.id, Replay.of(rollout))
        self._kept.move_to_end(rollout.id)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        if replay.work is None or replay.work.done():
            replay.work = asyncio.create_task(self._go_on(store, rollout, replay))
        try:
            # Who asked may leave; a replay is never left half taken in.
            return await asyncio.wait_for(asyncio.shield(replay.work), within.total_seconds() if within else None)
        except TimeoutError:
            return JudgedRollout(is_whole=False)

    async def _go_on(self, store: Readings, rollout: Rollout, replay: Replay) -> JudgedRollout:
        try:
            measured = await store.measurements_behind(rollout.id, replay.known)
            events = await store.history(rollout.id)
            if len(measured) > FEW:
                # Hours of ticks take seconds to judge again: meanwhile the service has rollouts to run.
                return await asyncio.to_thread(replay.go_on, rollout, events, measured)
            return replay.go_on(rollout, events, measured)
        except Exception:
            self._kept.pop(rollout.id, None)
            raise
