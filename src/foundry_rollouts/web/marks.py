"""What a state looks like on a page: a hue, a shape and a word, never a hue alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from foundry_rollouts.core.deciding.queue import QUEUED
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.lists import AgentGroup as Group
from foundry_rollouts.operations.overview import Row
from foundry_rollouts.operations.progress import Progress
from foundry_rollouts.operations.views import AgentView, RolloutView
from foundry_rollouts.operations.waiting import Wait, WaitKind, WaitState
from foundry_rollouts.web.figures import as_version, count, sentence, span


@dataclass(frozen=True, slots=True)
class Mark:
    """A state: ``tone`` is its hue, ``icon`` its shape."""

    tone: str
    icon: str
    word: str


PERSON = "a person"  #: How it begins, what a rollout waits for, where that is a person.
PHASES: Mapping[Phase, Mark] = {
    Phase.PENDING: Mark("off", "clock", "pending"),
    Phase.PROGRESSING: Mark("moving", "moving", "progressing"),
    Phase.PAUSED: Mark("wait", "pause", "paused"),
    Phase.PROMOTED: Mark("good", "good", "promoted"),
    Phase.ROLLED_BACK: Mark("bad", "back", "rolled back"),
    Phase.DISABLED: Mark("bad", "closed", "disabled"),
    Phase.SUPERSEDED: Mark("off", "moving", "superseded"),
    Phase.FAILED: Mark("bad", "cross", "failed"),
    Phase.OBSERVED: Mark("off", "info", "observed"),
    Phase.ABORTED: Mark("off", "back", "aborted"),
}


@dataclass(frozen=True, slots=True)
class Meter:
    """Evidence between its two ends: ``forward`` and ``back`` are shares of what it takes."""

    forward: float
    back: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What the row of an agent says: its state, why, what it waits for, and the rollout it is about."""

    mark: Mark
    because: str
    waits: str
    more: str
    rollout: RolloutView | None
    meter: Meter | None = None
    bake: Wait | None = None  #: The least time of the step, while it is not over.


def of_rollout(rollout: RolloutView) -> Mark:
    """Return the mark of a rollout: of its phase, or that it goes on only when a person says so."""
    if rollout.phase in {Phase.PENDING, Phase.PROGRESSING} and (rollout.waiting_for or "").startswith(PERSON):
        return Mark("wait", "person", "waits for a person")
    return PHASES[rollout.phase]


def summary_of(row: Row) -> Summary:
    """Return what the row of an agent says that needs a person, or that moves."""
    agent, rollout = row.agent, row.agent.rollout
    if row.group is Group.QUIET:
        return _settled(row)
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


def _settled(row: Row) -> Summary:
    """Say of an agent that is quiet by now, and still stands where it stood, that it needs nobody any more."""
    last = row.last
    if last is None:
        because = f"Its endpoint names {as_version(row.agent.stable)}, and no rollout is under way."
        return Summary(Mark("good", "good", "Quiet"), because, "Nobody", "all is done", None)
    mark = PHASES[last.phase]
    mark = replace(mark, tone="off" if mark.tone == "bad" else mark.tone, word=mark.word.capitalize())
    return Summary(mark, sentence(last.because), "Nobody", "all is done", last)


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
        more = sentence((rollout.waiting_for or "resume or abort").removeprefix(f"{PERSON}: "))
        return Summary(Mark("wait", "pause", "Paused"), because, "A person", more, rollout)
    if rollout.held_by and rollout.phase in {Phase.PENDING, Phase.PROGRESSING}:
        return Summary(Mark("wait", "pause", f"Held: {rollout.held_by}"), because, "To go on", waits, rollout)
    if rollout.phase is Phase.PENDING:
        awaited = "Its turn" if rollout.waiting_for == QUEUED else "To begin"
        return Summary(Mark("off", "clock", "Pending"), because, awaited, waits, rollout)
    if needs_approval:
        more = sentence((rollout.waiting_for or "approve or abort").removeprefix(f"{PERSON}: "))
        return Summary(Mark("wait", "person", "Waits for approval"), because, "A person", more, rollout)
    weight = rollout.weights.get(rollout.canary, 0)
    word = f"Step {rollout.step} of {rollout.steps}, weight {weight}"
    plain = Summary(Mark("moving", "moving", word), because, "Evidence and time", waits, rollout)
    return _measured(plain, rollout.progress) if rollout.progress else plain


def _measured(plain: Summary, progress: Progress) -> Summary:
    """Return the summary of a rollout whose evidence was weighed: what it waits for, and for how long about."""
    now = [wait for wait in progress.waits_for if wait.state is WaitState.NOW]
    proofs = [wait for wait in now if wait.kind is WaitKind.EVIDENCE]
    bake = next((wait for wait in now if wait.kind is WaitKind.BAKE), None)
    if len(proofs) + (bake is not None) < len(now):
        return plain  # It waits for something else first, and says so in words.
    is_compared = any(wait.have is not None for wait in proofs)
    if is_compared:
        return replace(plain, waits="Evidence", more=_missing(plain, proofs), meter=_meter(progress), bake=bake)
    if bake:
        return replace(plain, waits="", more="", bake=bake)
    if proofs:
        return plain
    return replace(plain, waits="The next tick", more="proved, and baked long enough")


def _missing(plain: Summary, proofs: Sequence[Wait]) -> str:
    """Say how many calls are missing, and how long they take at the traffic of now."""
    calls = max((wait.missing_calls or 0 for wait in proofs), default=0)
    if not calls or plain.rollout is None:
        return plain.more
    seconds = max((wait.seconds or 0 for wait in proofs), default=0)
    time = f", about {span(seconds)} at this traffic" if seconds else ""
    return f"about {count(calls)} more call{'' if calls == 1 else 's'} on {as_version(plain.rollout.canary)}{time}"


def _meter(progress: Progress) -> Meter | None:
    """Return the meter; none at a weight at which nothing is compared."""
    safe, harm = progress.safe_log10, progress.harm_log10
    if safe is None or harm is None:
        return None
    shares = ((safe, progress.safe_enough_log10), (harm, progress.harm_enough_log10))
    return Meter(*(min(max(value / most, 0.0), 1.0) for value, most in shares))
