"""What to do once a rollout has ended: whether one may stop here, what is left, how to find the cause."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.commands import way_back
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.words import clock, counted, number


@dataclass(frozen=True, slots=True)
class NextStep:
    """One thing to do, or to leave; ``command`` is for the command line, ``anchor`` a place on the page."""

    title: str
    text: str
    command: str | None = None
    has_buttons: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """One cause of failed calls on the canary: how often, since when, and how often on stable."""

    cause: str
    calls: int
    on_stable: int
    first: datetime
    time: str


def failures_of(scene: Scene) -> tuple[Failure, ...]:
    """Return why calls failed on the canary, the most frequent cause first."""
    calls: Counter[str] = Counter()
    stable: Counter[str] = Counter()
    first: dict[str, datetime] = {}
    for tick in scene.judged.causes:
        for cause, count in tick.canary:
            calls[cause] += count
            first.setdefault(cause, tick.at)
        for cause, count in tick.stable:
            stable[cause] += count
    return tuple(
        Failure(cause, count, stable[cause], first[cause], clock(first[cause], scene.now))
        for cause, count in calls.most_common(8)
    )


def next_steps(scene: Scene) -> tuple[NextStep, ...]:
    """Return what to do next, the first thing first; nothing while the rollout runs."""
    rollout = scene.rollout
    if rollout.phase is Phase.PROMOTED:
        return (
            NextStep(
                "Nothing is left to do", f"{scene.canary} is the stable version; {scene.stable} stays in the cloud."
            ),
            NextStep("If it turns out bad later", "this goes back at once:", _command(scene)),
        )
    if rollout.phase not in {Phase.ROLLED_BACK, Phase.DISABLED}:
        return (NextStep("Users were not touched", f"{scene.stable} kept all of them.", has_buttons=True),)
    return (_rest(scene), _sessions(scene), _cause(scene), _again(scene))


def _command(scene: Scene) -> str | None:
    found = way_back(scene.rollout).split("'")
    return found[1] if len(found) > 1 else None


def _rest(scene: Scene) -> NextStep:
    if scene.rollout.phase is Phase.DISABLED:
        text = "Users get no answer until a person opens the endpoint:"
        agent = scene.rollout.agent
        return NextStep("The endpoint is closed", text, f"foundry-rollouts agent enable {agent}")
    return NextStep(
        "If you were paged: you may stop here", f"Nobody new meets {scene.canary}; nothing goes on by itself."
    )


def _sessions(scene: Scene) -> NextStep:
    agent, canary = scene.rollout.agent, scene.rollout.canary
    stops = scene.rollout.stops
    if stops and stops.is_done:
        return NextStep(f"{counted(stops.count, 'session')} of {scene.canary} were stopped", "None is left on it.")
    title, text = _open_sessions(scene)
    return NextStep(title, text, f"foundry-rollouts agent sessions list {agent} --version {canary}")


def _open_sessions(scene: Scene) -> tuple[str, str]:
    """Say how many sessions still run on the canary, where that is known, and that they stay there."""
    canary, running = scene.canary, scene.running
    stay = f"Sessions that began on {canary} stay there until they end. This lists them, to stop them one by one:"
    count = running.sessions.get(scene.rollout.canary, 0) if running else 0
    if running is None or not (count or running.is_whole):
        return "Open sessions stay", stay
    if not count:
        return f"No session runs on {canary} now", (
            f"One that is idle goes on with {canary} when its user comes back. This lists those that foundry-rollouts "
            "may see:"
        )
    number = counted(count, "session") + (" still runs" if count == 1 else " still run")
    return f"{number} on {canary}" if running.is_whole else f"At least {number} on {canary}", stay


def _cause(scene: Scene) -> NextStep:
    failures = failures_of(scene)
    if not failures:
        return NextStep(f"Find the cause in {scene.canary}", scene.rollout.because)
    every, most = sum(each.calls for each in failures), failures[0]
    never = f"never on {scene.stable}" if not most.on_stable else f"{number(most.on_stable)} on {scene.stable}"
    text = f"{number(most.calls)} of {counted(every, 'failure')} say the same: {most.cause}; {never}."
    return NextStep(f"Find the cause in {scene.canary}", text)


def _again(scene: Scene) -> NextStep:
    text = f"The fixed version gets a rollout of its own. Retry only if {scene.canary} was not to blame."
    return NextStep("Fix it and deploy a new version, or retry", text, has_buttons=True)
