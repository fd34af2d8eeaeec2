"""The commands that a person may give, in the order of the bar, and what a step without proof leaves out."""

from dataclasses import dataclass

from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.commands import refusal_of
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.words import limit, odds, span
from foundry_rollouts.operations.start import RETRIABLE


@dataclass(frozen=True, slots=True)
class Control:
    """One button; it raises exposure where ``asks``, and then a dialog demands a reason."""

    verb: str
    label: str
    doing: str  #: What it says while the command is under way.
    effect: str = ""
    look: str = ""
    icon: str = ""
    key: str = ""
    asks: bool = False
    refused: str | None = None  #: Why it makes no sense now; the button stays.


@dataclass(frozen=True, slots=True)
class Leap:
    """What a step without proof does, and what it leaves out."""

    title: str
    effect: str
    left_out: tuple[str, ...]


def controls_of(scene: Scene) -> tuple[Control, ...]:
    """Return the buttons of the rollout's state; Pause and Resume share one place."""
    rollout = scene.rollout
    if rollout.phase.is_final:
        if rollout.phase not in RETRIABLE:
            return ()
        return (Control("retry", f"Retry {scene.canary}", "Starting…", icon="resume", asks=True),)
    found = [_hold(scene), _back(scene), _forward(scene)]
    if rollout.waits_for_approval and rollout.phase is Phase.PROGRESSING:
        found.insert(0, _approve(scene))
    return tuple(found)


def _approve(scene: Scene) -> Control:
    who = "everyone" if scene.next_weight == 100 else f"weight {scene.next_weight}"
    label = f"Approve {scene.canary} for {who}"
    return Control("approve", label, "Approving…", look="go", icon="check", key="a")


def _hold(scene: Scene) -> Control:
    if scene.rollout.phase is Phase.PAUSED:
        return Control("resume", "Resume", "Resuming…", look="hold", icon="resume", key="p")
    return Control("pause", "Pause", "Pausing…", look="hold", icon="pause", key="p")


def _back(scene: Scene) -> Control:
    effect = f"back to {scene.stable}" if scene.rollout.refuge else "close the endpoint"
    if not scene.rollout.step:
        effect = "before it begins"
    return Control("abort", "Abort", "Aborting…", effect, look="back", icon="back", key="x")


def _forward(scene: Scene) -> Control:
    refused = refusal_of(scene.rollout, Verb.PROMOTE)
    return Control("promote", "Promote", "Promoting…", icon="up", asks=True, refused=refused)


def leap_of(scene: Scene) -> Leap | None:
    """Return what promoting by one step does and leaves out; None where it makes no sense."""
    rollout = scene.rollout
    if rollout.phase.is_final or refusal_of(rollout, Verb.PROMOTE):
        return None
    if rollout.is_on_last_step:
        effect = f"{scene.canary} becomes the stable version now."
    elif scene.next_step is not None and not isinstance(scene.next_step, WeightStep):
        effect = f"It goes on to the approval, still at weight {rollout.weight}."
    else:
        all_of_it = "All new sessions go" if scene.next_weight == 100 else "More new sessions go"
        effect = f"{all_of_it} to {scene.canary} now: weight {rollout.weight} → {scene.next_weight}."
    return Leap(f"Promote {scene.canary} by one step?", effect, tuple(_left_out(scene)))


def _left_out(scene: Scene) -> list[str]:
    rollout, step, last = scene.rollout, scene.rollout.present_step, scene.last
    missing = []
    judge = rollout.policy.judge
    if isinstance(step, WeightStep) and rollout.weight < 100:
        safe = last.safe if last and last.step == rollout.step else 0.0
        if safe < 0 or odds(safe) == "none" or rollout.verdict != "pass":
            missing.append(f"the proof: evidence is {odds(safe)}, needed {limit(judge.missed_bad)}")
    if isinstance(step, WeightStep) and (left := (step.min - rollout.step_age(scene.now)).total_seconds()) > 0:
        missing.append(f"{span(left)} of bake time")
    if rollout.waits_for_approval:
        missing.append("the approval")
    return missing or ["nothing: it would go on by itself at the next tick"]
