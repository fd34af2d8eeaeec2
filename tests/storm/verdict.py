"""What a storm left behind: every rollout with its history and its routing, held against the laws."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import RolloutFilter
from storm.scene import Scene

#: What may stand between the moves: a wait that is told, no move. A refusal has no number of the rollout's own count.
WAITS = {"rollout.held", "rollout.refused", "rollout.waiting"}
WALKS = {
    "promoted": ("created", "started", "advanced", "advanced", "promoted"),
    "rolled_back": ("created", "started", "rolled_back"),
}
WEIGHTS = {"promoted": Routing.of({"2": 100}), "rolled_back": Routing.of({"1": 100})}


@dataclass(slots=True)
class Verdict:
    """What was found; every sentence in ``wrong`` is a broken law."""

    endings: Counter[str] = field(default_factory=Counter)
    wrong_endings: list[str] = field(default_factory=list)
    steps_twice: list[str] = field(default_factory=list)
    events_lost: list[str] = field(default_factory=list)
    events_doubled: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    as_drift: list[str] = field(default_factory=list)  #: Rollbacks that showed as drift first: no law forbids it.

    @property
    def wrong(self) -> list[str]:
        return [*self.wrong_endings, *self.steps_twice, *self.events_lost, *self.events_doubled, *self.others]


async def judge(scene: Scene) -> Verdict:
    """Look at everything that is left."""
    verdict = Verdict()
    async with scene.store() as store, scene.cloud() as cloud:
        rollouts = {each.agent: each for each in await store.rollouts(RolloutFilter(limit=500))}
        for agent, ending in scene.plan.endings.items():
            rollout = rollouts.get(agent)
            if rollout is None:
                verdict.wrong_endings.append(f"{agent}: no rollout was made")
                continue
            verdict.endings[rollout.phase] += 1
            routing = (await cloud.agent(agent)).routing
            if (rollout.phase, routing) != (ending, WEIGHTS[ending]):
                told = f"{agent}: {rollout.phase} with {routing}, expected {ending}: {rollout.because}"
                verdict.wrong_endings.append(told)
            _read(verdict, rollout, await store.history(rollout.id))
            if await store.intent(agent) is not None:
                verdict.others.append(f"{agent}: an intent is left open")
        if len(rollouts) != len(scene.plan.endings):
            verdict.others.append(f"{len(rollouts)} rollouts for {len(scene.plan.endings)} agents")
    return verdict


def _read(verdict: Verdict, rollout: Rollout, history: Sequence[Event]) -> None:
    told = f"{rollout.agent}: {' '.join(event.kind.removeprefix('rollout.') for event in history)}"
    names = [event.id.removeprefix(f"{rollout.id}:") for event in history]
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        verdict.events_doubled.append(f"{told}: {', '.join(repeated)} twice")
    numbers = [name for name in names if not name.startswith("refused:")]
    if numbers != [str(number) for number in range(1, rollout.event_count + 1)]:
        verdict.events_lost.append(f"{told}: {numbers} of {rollout.event_count}")
    steps = [event.step for event in history if event.kind in {"rollout.started", "rollout.advanced"}]
    if steps != list(range(1, len(steps) + 1)):
        verdict.steps_twice.append(f"{told}: steps {steps}")
    if drift := next((event for event in history if _is_way_back_as_drift(event)), None):
        verdict.as_drift.append(f"{rollout.agent}: {drift.because}")
    walked = [event for event in history if event.kind not in WAITS and event is not drift]
    moves = tuple(event.kind.removeprefix("rollout.") for event in walked)
    if rollout.phase in WALKS and moves != WALKS[rollout.phase]:
        reasons = "; ".join(f"{event.kind.removeprefix('rollout.')}: {event.because}" for event in history)
        verdict.others.append(f"{told}: not the walk of a calm run ({reasons})")
    verdict.others += [f"{told}: {fault}" for fault in _leaps(history)]


def _is_way_back_as_drift(event: Event) -> bool:
    """Whether a way back of ours, whose sender died before it could record it, was taken for another hand's."""
    return event.kind == "rollout.paused" and event.because.startswith(
        "somebody changed the routing to version 1 at 100%"
    )


def _leaps(history: Sequence[Event]) -> Iterator[str]:
    """Yield each event after which the canary has a weight that is not the plan's."""
    plan = {"rollout.started": [10], "rollout.advanced": [50, 100], "rollout.promoted": [100]}
    for event in history:
        weight = (event.weights or {}).get("2", 0)
        if event.kind in plan and weight not in plan[event.kind]:
            yield f"{event.kind} to {weight}%"
