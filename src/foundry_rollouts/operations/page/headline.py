"""The first sentence of the page, the badge beside the name, and the title of the tab."""

from dataclasses import dataclass

from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.page.scene import Scene
from foundry_rollouts.operations.page.words import odds, span

#: Evidence against a version that is worth a sentence, as odds: e : 1.
WORTH_SAYING = 1.0


@dataclass(frozen=True, slots=True)
class Badge:
    """A state: a hue, a shape and a word."""

    tone: str
    icon: str
    word: str


def badge_of(scene: Scene) -> Badge:
    """Return the badge of the rollout's state."""
    rollout = scene.rollout
    if rollout.phase is Phase.PROGRESSING and rollout.waits_for_approval:
        return Badge("wait", "person", "Waits for approval")
    if rollout.phase is Phase.ROLLED_BACK and rollout.ended_by:
        return Badge("bad", "back", "Aborted")
    if rollout.held_by and rollout.phase in {Phase.PENDING, Phase.PROGRESSING}:
        return Badge("wait", "pause", f"Held: {rollout.held_by}")
    return {
        Phase.PENDING: Badge("off", "clock", "Pending"),
        Phase.PROGRESSING: Badge("moving", "moving", "Progressing"),
        Phase.PAUSED: Badge("wait", "pause", "Paused"),
        Phase.PROMOTED: Badge("good", "good", "Promoted"),
        Phase.ROLLED_BACK: Badge("bad", "back", "Rolled back"),
        Phase.DISABLED: Badge("bad", "closed", "Endpoint closed"),
        Phase.SUPERSEDED: Badge("off", "none", "Superseded"),
        Phase.FAILED: Badge("bad", "cross", "Failed"),
        Phase.OBSERVED: Badge("off", "info", "Observed"),
        Phase.ABORTED: Badge("off", "cross", "Aborted"),
    }[rollout.phase]


def headline_of(scene: Scene) -> str:
    """Say in one sentence what is so."""
    rollout, canary, stable = scene.rollout, scene.canary, scene.stable
    if rollout.phase is Phase.PROGRESSING:
        return _progressing(scene)
    if rollout.phase is Phase.PAUSED:
        return _paused(scene)
    if rollout.phase is Phase.ROLLED_BACK:
        return _rolled_back(scene)
    return {
        Phase.PENDING: f"{canary} has not begun. {stable} keeps all users until it does.",
        Phase.PROMOTED: f"{canary} is the stable version. All new sessions go to it.",
        Phase.DISABLED: "The endpoint is closed. Nobody gets an answer until a person opens it.",
        Phase.SUPERSEDED: f"Something else took the place of {canary}.",
        Phase.FAILED: f"{canary} never became ready. {stable} keeps all users; nothing was moved.",
        Phase.OBSERVED: f"{canary} was judged to its end, and nothing was moved: the policy observes.",
        Phase.ABORTED: f"{canary} was stopped before it began. {stable} keeps all users; nothing was moved.",
    }[rollout.phase]


def _progressing(scene: Scene) -> str:
    rollout, canary = scene.rollout, scene.canary
    if rollout.waits_for_approval:
        what = "all users get it" if scene.next_weight == 100 else f"it goes on to weight {scene.next_weight}"
        how = "is proved at" if rollout.verdict == Verdict.PASS else "got as far as"
        return f"{canary} {how} weight {rollout.weight}. A person decides whether {what}."
    stays = f"it stays at weight {rollout.weight}"
    if _is_fresh(scene):
        return f"{canary} has just reached weight {rollout.weight}, and has to earn its proof there."
    if rollout.weight == 100 and rollout.verdict in {Verdict.PASS, Verdict.INSUFFICIENT, None}:
        return f"All new sessions go to {canary}. It bakes before it is promoted."
    if against := _against(scene):
        return f"{canary} may be worse than {scene.stable}: evidence {against} against it, so {stays}."
    return {
        Verdict.PASS: f"{canary} is proved at weight {rollout.weight}. The step still bakes.",
        Verdict.FAIL: f"{canary} does harm. The policy leaves the answer to a person, so {stays}.",
        Verdict.SHARED_TROUBLE: f"{scene.stable} fails more than before, too. Nothing goes up until that is over.",
        Verdict.SPLIT_IGNORED: f"New sessions do not follow the weight, so {stays}.",
        Verdict.NO_DATA: f"Nothing was seen of {canary} at weight {rollout.weight} yet, so it stays there.",
        Verdict.STALE: f"No call on {canary} was seen for a while, so {stays}.",
        Verdict.SOURCE_ERROR: f"The sources cannot be read, so {stays}. That is not held against {canary}.",
    }.get(
        Verdict(rollout.verdict) if rollout.verdict else Verdict.INSUFFICIENT,
        f"{canary} does as well as {scene.stable} so far. It is not proved yet, so {stays}.",
    )


def _is_fresh(scene: Scene) -> bool:
    """Whether nothing was counted at the present step yet."""
    if scene.last is None:
        return scene.judged.is_whole and scene.rollout.verdict is None and scene.rollout.weight < 100
    return scene.last.step != scene.rollout.step


def _against(scene: Scene) -> str | None:
    last = scene.last
    if last is None or last.step != scene.rollout.step or last.harm < WORTH_SAYING:
        return None
    return odds(last.harm) if scene.rollout.verdict == Verdict.INSUFFICIENT else None


def _paused(scene: Scene) -> str:
    paused = [event for event in scene.events if event.kind == "rollout.paused"]
    who = f"Paused by {paused[-1].author}." if paused and paused[-1].author else "It paused by itself."
    where = f"stays at weight {scene.rollout.weight}" if scene.rollout.step else "does not begin"
    return f"{who} {scene.canary} {where} until a person resumes it."


def _rolled_back(scene: Scene) -> str:
    rollout = scene.rollout
    users = f"All new sessions are on {scene.stable} again."
    if rollout.ended_by:
        return f"{users} {rollout.ended_by} aborted {scene.canary} at weight {_last_weight(scene)}."
    began = scene.harm_began()
    if began is None or rollout.ended_at is None:
        return f"{users} {scene.canary} was rolled back."
    took = span((rollout.ended_at - began.at).total_seconds())
    return f"{users} {scene.canary} began to fail at weight {_last_weight(scene)} and was rolled back {took} later."


def _last_weight(scene: Scene) -> int:
    return scene.last.weight if scene.last else scene.rollout.weight


def title_of_page(scene: Scene) -> str:
    """Return the title of the tab: the state first."""
    rollout, badge = scene.rollout, badge_of(scene)
    if rollout.phase is Phase.PROGRESSING and not rollout.waits_for_approval:
        return f"Weight {rollout.weight} · {rollout.agent} {scene.stable} → {scene.canary}"
    return f"{badge.word} · {rollout.agent} {scene.canary}"
