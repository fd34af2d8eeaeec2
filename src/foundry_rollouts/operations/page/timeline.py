"""The history of a rollout as lines, newest first: what happened, by whom, because of what, with the numbers behind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.judging.logarithms import TEN
from foundry_rollouts.core.model.event import HARMED, HELD, Event
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.explain import GateExplained
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.words import clock, number, odds

NEWEST = 200  #: Lines that a page shows at most.
#: Events by kind: the title, the colour, the icon.
KINDS = {
    "rollout.created": ("Created", "off", "start"),
    "rollout.joined": ("Joined", "off", "info"),
    "rollout.started": ("Started at weight {weight}", "moving", "up"),
    "rollout.approved": ("Approved", "moving", "check"),
    "rollout.approval_voided": ("Approvals are void", "wait", "warn"),
    "rollout.advanced": ("Advanced to weight {weight}", "moving", "up"),
    "rollout.stepped_back": ("Stepped back to weight {weight}", "wait", "back"),
    "rollout.promoted": ("Promoted", "good", "good"),
    "rollout.rolled_back": ("Rolled back", "bad", "back"),
    "rollout.disabled": ("Closed the endpoint", "bad", "closed"),
    "rollout.would_have_started": ("Would have started", "off", "info"),
    "rollout.would_have_advanced": ("Would have advanced", "off", "info"),
    "rollout.would_have_stepped_back": ("Would have stepped back", "off", "info"),
    "rollout.would_have_promoted": ("Would have been promoted", "off", "info"),
    "rollout.would_have_rolled_back": ("Would have been rolled back", "off", "info"),
    "rollout.would_have_disabled": ("Would have closed the endpoint", "off", "info"),
    "rollout.began_again": ("Began again", "off", "start"),
    "rollout.paused": ("Paused", "wait", "pause"),
    "rollout.waiting": ("Waits", "wait", "pause"),
    "rollout.resumed": ("Resumed", "moving", "resume"),
    "rollout.restored": ("Restored the weights", "wait", "drift"),
    "rollout.superseded": ("Superseded", "off", "none"),
    "rollout.failed": ("Failed", "bad", "cross"),
    "rollout.aborted": ("Aborted", "off", "cross"),
    "rollout.declined": ("Nothing was done", "off", "info"),
    "rollout.refused": ("The cloud refused", "wait", "warn"),
    "rollout.acknowledged": ("Acknowledged", "off", "check"),
    HELD: ("Holds at weight {weight}", "moving", "clock"),
    HARMED: ("Harm is proved", "bad", "warn"),
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one gate knew when a decision fell."""

    gate: str
    canary: str
    stable: str
    evidence_for: str
    against: str
    part: str
    verdict: str
    because: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the history; equal ones in a row are one, with a count."""

    id: str
    at: datetime
    time: str
    tone: str
    icon: str
    title: str
    author: str | None
    because: str
    numbers: tuple[Numbers, ...] = ()
    alike: int = 0  #: How many more like it came before.
    alike_since: str = ""


def timeline_of(scene: Scene) -> tuple[Line, ...]:
    """Return the lines of the history, newest first; what holds now stands on top."""
    lines: list[Line] = []
    for event in scene.events:
        line = _line(scene, event)
        if lines and (lines[-1].title, lines[-1].because) == (line.title, line.because):
            before = lines.pop()
            line = replace(line, alike=before.alike + 1, alike_since=before.alike_since or before.time)
        lines.append(line)
    if (now := _now(scene)) and not (lines and lines[-1].because == now.because):
        lines.append(now)
    return tuple(reversed(lines[-NEWEST:]))


def _line(scene: Scene, event: Event) -> Line:
    title, tone, icon = KINDS.get(
        event.kind, (event.kind.rpartition(".")[2].replace("_", " ").capitalize(), "off", "info")
    )
    weight = (event.weights or {}).get(scene.rollout.canary, scene.rollout.weight)
    steps = scene.rollout.policy.steps
    if event.kind == "rollout.advanced" and event.step and not isinstance(steps[event.step - 1], WeightStep):
        title, tone, icon = "Asks for approval", "wait", "person"
    return Line(
        id=event.id,
        at=event.at,
        time=clock(event.at, scene.now),
        tone=tone,
        icon=icon,
        title=title.format(weight=weight),
        author=event.author,
        because=event.because,
        numbers=_numbers(scene.judged.explained.get(event.id, ())),
    )


def _now(scene: Scene) -> Line | None:
    rollout, last = scene.rollout, scene.last
    if rollout.phase is not Phase.PROGRESSING or last is None or last.step != rollout.step:
        return None
    title = "Waits for approval" if rollout.waits_for_approval else f"Holds at weight {rollout.weight}"
    return Line("now", last.at, clock(last.at, scene.now), "moving", "clock", title, None, rollout.because)


def _numbers(gates: Sequence[GateExplained]) -> tuple[Numbers, ...]:
    return tuple(
        Numbers(
            gate=gate.gate,
            canary=_counts(gate, "canary"),
            stable=_counts(gate, "stable"),
            evidence_for=odds(gate.safe_log10 * TEN),
            against=odds(gate.harm_log10 * TEN),
            part=f"{gate.part:.2g}" if gate.part else "none",
            verdict=str(gate.verdict).replace("-", " "),
            because=gate.because,
        )
        for gate in gates
    )


def _counts(gate: GateExplained, who: str) -> str:
    pairs = [each.at_step for each in gate.strata]
    if not pairs:
        value = gate.canary_value if who == "canary" else gate.stable_value
        return "not seen" if value is None else f"{value:g}"
    pair = max(pairs, key=lambda each: each.canary_calls + each.stable_calls)
    failures, calls = (
        (pair.canary_failures, pair.canary_calls) if who == "canary" else (pair.stable_failures, pair.stable_calls)
    )
    return f"{number(failures)} of {number(calls)}"
