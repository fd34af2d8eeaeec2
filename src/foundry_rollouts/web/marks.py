"""What a state looks like on a page: a hue, a shape and a word, never a hue alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.overview import Row
from foundry_rollouts.operations.views import AgentView, RolloutView
from foundry_rollouts.web.figures import as_version, sentence


@dataclass(frozen=True, slots=True)
class Mark:
    """A state: ``tone`` is its hue, ``icon`` its shape."""

    tone: str
    icon: str
    word: str


PHASES: Mapping[Phase, Mark] = {
    Phase.PENDING: Mark("off", "clock", "pending"),
    Phase.PROGRESSING: Mark("moving", "moving", "progressing"),
    Phase.PAUSED: Mark("wait", "pause", "paused"),
    Phase.PROMOTED: Mark("good", "good", "promoted"),
    Phase.ROLLED_BACK: Mark("bad", "back", "rolled back"),
    Phase.DISABLED: Mark("bad", "closed", "disabled"),
    Phase.SUPERSEDED: Mark("off", "moving", "superseded"),
    Phase.FAILED: Mark("bad", "cross", "failed"),
    Phase.ABORTED: Mark("off", "back", "aborted"),
}


@dataclass(frozen=True, slots=True)
class Summary:
    """What the row of an agent says: its state, why, what it waits for, and the rollout it is about."""

    mark: Mark
    because: str
    waits: str
    more: str
    rollout: RolloutView | None


def of_phase(phase: Phase) -> Mark:
    """Return the mark of a phase."""
    return PHASES[phase]


def summary_of(row: Row) -> Summary:
    """Return what the row of an agent says that needs a person, or that moves."""
    agent, rollout = row.agent, row.agent.rollout
    if agent.unreadable:
        mark = Mark("bad", "warn", "Cannot be processed")
        return Summary(mark, sentence(agent.unreadable), "A person", "nothing of it is changed until then", rollout)
    if (bad := agent.unacknowledged) is not None:
        mark = PHASES[bad.phase]
        because = sentence(agent.unacknowledged_because or bad.because)
        return Summary(replace(mark, word=mark.word.capitalize()), because, "A person", "to acknowledge it", bad)
    if rollout is None:
        return _without_rollout(agent)
    return _with_rollout(rollout, needs_approval=row.needs_approval)


def _without_rollout(agent: AgentView) -> Summary:
    routing = agent.routing
    if routing is not None and not routing.is_open:
        mark = Mark("bad", "closed", "Closed")
        return Summary(mark, "Its endpoint is disabled: users are refused.", "A person", "to enable it again", None)
    latest = f", now {as_version(agent.latest)}," if agent.latest else ""
    because = f"A new version meets all users without a rollout: its endpoint serves @latest{latest} and not a version."
    return Summary(Mark("wait", "unpinned", "Not pinned"), because, "A person", "to say which version is stable", None)


def _with_rollout(rollout: RolloutView, *, needs_approval: bool) -> Summary:
    because = sentence(rollout.because)
    waits = sentence(rollout.waiting_for) if rollout.waiting_for else ""
    if rollout.phase is Phase.PAUSED:
        return Summary(Mark("wait", "pause", "Paused"), because, "A person", waits or "resume or abort", rollout)
    if rollout.phase is Phase.PENDING:
        return Summary(Mark("off", "clock", "Pending"), because, "Its turn", waits, rollout)
    if needs_approval:
        return Summary(Mark("wait", "person", "Waits for approval"), because, "A person", waits, rollout)
    weight = rollout.weights.get(rollout.canary, 0)
    word = f"Step {rollout.step} of {rollout.steps}, weight {weight}"
    return Summary(Mark("moving", "moving", word), because, "Evidence and time", waits, rollout)
