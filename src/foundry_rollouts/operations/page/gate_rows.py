"""What each gate says: both versions' counts, the line, the odds on either side, the verdict."""

from dataclasses import dataclass

from foundry_rollouts.core.judging.analysis import GateReading, Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.judge import accusation
from foundry_rollouts.core.judging.proof import strongest
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.replay.recorded import ReplayedTick
from foundry_rollouts.operations.page.charts import TITLES, slow_edge, tolerance_words
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.words import number, odds, percent

NOT_COMPARED = "not compared"  #: At 100 the canary bakes: stable has no calls left to compare it with.

#: The words of a verdict, and its colour.
VERDICTS = {
    Verdict.PASS: ("pass", "good"),
    Verdict.FAIL: ("fail", "bad"),
    Verdict.SHARED_TROUBLE: ("both fail", "wait"),
    Verdict.SPLIT_IGNORED: ("split ignored", "wait"),
    Verdict.INSUFFICIENT: ("not enough yet", "moving"),
    Verdict.NO_DATA: ("no data", "off"),
    Verdict.STALE: ("stale", "off"),
    Verdict.SOURCE_ERROR: ("source error", "off"),
}


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate as a row: texts, and under each rate its counts."""

    name: str
    sources: str
    stable: str
    stable_counts: str
    canary: str
    canary_counts: str
    tolerated: str
    evidence_for: str
    against: str
    verdict: str
    tone: str
    because: str


def gate_rows(scene: Scene) -> tuple[GateRow, ...]:
    """Return a row for each gate as of the last tick; none before the first."""
    tick = scene.judged.last
    if tick is None:
        return ()
    pairs = zip(tick.rollout.policy.gates, tick.analysis.gates, strict=True)
    return tuple(_row(scene, gate, reading, tick) for gate, reading in pairs)


def why_figures_differ(scene: Scene) -> str:
    """Say, where harm was proved, why the sentence has other counts and other evidence than the gates and the chart."""
    tick = scene.judged.last
    if tick is None or not any(each.verdict is Verdict.FAIL for each in tick.analysis.gates):
        return ""
    return (
        "The sentence above counts since the rollout began, and gives the evidence of the one source that it names. "
        f"The gates count since weight {tick.weight} began, and give the mean of all that each of them watches; the "
        "chart gives the mean of all gates, which is what rolls back. So a policy that watches more does not roll "
        "back more good versions."
    )


def gate_title(gate: Gate) -> str:
    """Return what a gate measures, in words."""
    return f"Value {gate.bounds.name}" if gate.bounds else TITLES[gate.kind]


def _row(scene: Scene, gate: Gate, reading: GateReading, tick: ReplayedTick) -> GateRow:
    speaker = _speaker(gate, reading, tick)
    counts = speaker.at_step if speaker else Tally()
    word, tone = VERDICTS[reading.verdict]
    return GateRow(
        name=gate_title(gate),
        sources=_sources(scene, gate, tick, speaker),
        stable=_value(gate, reading.stable_value, counts.stable_failures, counts.stable_calls),
        stable_counts="" if gate.bounds else f"{number(counts.stable_failures)} of {number(counts.stable_calls)}",
        canary=_value(gate, reading.canary_value, counts.canary_failures, counts.canary_calls),
        canary_counts="" if gate.bounds else f"{number(counts.canary_failures)} of {number(counts.canary_calls)}",
        tolerated=_bounds(gate) if gate.bounds else tolerance_words(scene.rollout, gate),
        evidence_for=NOT_COMPARED if tick.weight == 100 and not counts.stable_calls else odds(reading.safe_log),
        against=odds(reading.harm_log),
        verdict=f"{word}, dry run" if gate.is_dry_run else word,
        tone=tone,
        because=reading.because,
    )


def _speaker(gate: Gate, reading: GateReading, tick: ReplayedTick) -> Track | None:
    """Return the source whose calls are counted: the one that the sentence of the verdict is about."""
    tracks = tick.analysis.evidence.of(gate)
    if not tracks:
        return None
    return max(tracks, key=accusation) if reading.verdict is Verdict.FAIL else strongest(tracks)


def _sources(scene: Scene, gate: Gate, tick: ReplayedTick, speaker: Track | None) -> str:
    sources = ", ".join(gate.sources)
    if speaker is not None and len(tick.analysis.evidence.of(gate)) > 1:
        sources += f"; counted here: {speaker.stratum}"
    if gate.kind is not GateKind.LATENCY:
        return sources
    stratum = next((track.stratum for track in tick.analysis.evidence.of(gate) if track.edges), "")
    edge = slow_edge(scene.judged, (gate.name, stratum))
    return f"slower than the median of {scene.stable}, {edge}; {sources}" if edge else f"{sources}; still learning"


def _value(gate: Gate, value: float | None, failures: int, calls: int) -> str:
    if not gate.bounds:
        return percent(failures / calls if calls else None)
    return "not seen" if value is None else f"{value:g}"


def _bounds(gate: Gate) -> str:
    bounds = gate.bounds
    if bounds is None:
        return ""
    said = (
        ("at least {:g}", bounds.min),
        ("at most {:g}", bounds.max),
        ("at least {:g}x stable", bounds.at_least),
        ("at most {:g}x stable", bounds.at_most),
    )
    return ", ".join(text.format(value) for text, value in said if value is not None)
