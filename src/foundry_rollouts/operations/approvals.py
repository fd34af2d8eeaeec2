"""What a link to an approval shows: what was asked, whether that still holds, and whether this person may answer."""

from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.deciding.approving import awaited
from foundry_rollouts.core.model.access import Role, is_same_person
from foundry_rollouts.core.model.approval import Approver
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.links import ApprovalLink
from foundry_rollouts.operations.commands import denied
from foundry_rollouts.operations.views import RolloutView, rollout_view
from foundry_rollouts.ports import Store


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of whom, and why not where it is not."""

    view: RolloutView
    policy_hash: str
    content: str | None  #: The hash of the version's code, by the cloud; None: unknown.
    made_at: datetime | None
    next_weight: int
    waits_for: str  #: Whom it waits for, who approved, and until when.
    stale: str | None = None  #: Why the link asks for nothing any more.
    refused: str | None = None  #: Why this person may not answer now.

    @property
    def is_open(self) -> bool:
        return self.stale is None and self.refused is None


async def asked_by(store: Store, link: ApprovalLink, who: Approver, now: datetime) -> Question:
    """Return what ``link`` shows to ``who``; it changes nothing. Raises NotFoundError for an unknown rollout."""
    rollout = await store.rollout(link.rollout)
    stale = _stale(rollout, link, now)
    steps = rollout.policy.steps
    return Question(
        view=rollout_view(rollout, now),
        policy_hash=policy_hash(rollout.policy),
        content=rollout.canary_content,
        made_at=rollout.canary_created_at,
        next_weight=100 if rollout.is_on_last_step else rollout.policy.weight_at(min(rollout.step + 1, len(steps))),
        waits_for=awaited(rollout, now),
        stale=stale,
        refused=None if stale else await _refused(store, rollout, who),
    )


def _stale(rollout: Rollout, link: ApprovalLink, now: datetime) -> str | None:
    """Say why a link asks for nothing any more; None while it does."""
    if rollout.phase.is_final:
        return f"the rollout has ended, it is {rollout.phase}: {rollout.because}"
    if rollout.step != link.step or not rollout.waits_for_approval:
        return f"that was decided: the rollout has gone on to step {rollout.step} of {len(rollout.policy.steps)}"
    if rollout.asked_about != link.of:
        return (
            f"the version or policy {rollout.policy.name} was changed since this message was sent: what it asked for"
            " is no longer there to be approved, and the page of the rollout asks for what is"
        )
    if now >= link.until:
        return f"this link was good until {link.until:%Y-%m-%d %H:%M} UTC; the page of the rollout asks the same"
    return None


async def _refused(store: Store, rollout: Rollout, who: Approver) -> str | None:
    """Say why ``who`` may not answer now; None when they may."""
    if rollout.phase is Phase.PAUSED:
        return "the rollout is paused: somebody resumes it, then it can be approved"
    if not who.role.may(Role.OPERATOR):
        return f"approving needs the role operator, and {who.name} has the role {who.role}"
    if why := await denied(store, rollout, who):
        return why
    given = (*(each.by for each in rollout.approvals), *(each.author for each in await store.commands(rollout.id)))
    if rollout.needs_approvals and any(is_same_person(by, who.name) for by in given):
        return "you approved it already, and count once"
    return None
