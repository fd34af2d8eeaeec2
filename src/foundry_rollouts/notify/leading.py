"""Where a message leads: to the rollout or the agent that it is about; where people are asked to approve, to that."""

from datetime import datetime, timedelta

from foundry_rollouts.core.deciding.approving import deadline
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.links import ApprovalLink, Links
from foundry_rollouts.ports import Notice

#: How long a link asks: the next reminder, a day later at most, brings a new one.
LASTS = timedelta(hours=25)


def link_of(links: Links | None, notice: Notice, now: datetime) -> str | None:
    """Return the link that ``notice`` carries; None where nobody said how people reach the pages."""
    if links is None:
        return None
    rollout = notice.rollout
    if rollout is None:
        return links.to_agent(notice.event.agent)
    if rollout.phase is not Phase.PROGRESSING or not rollout.waits_for_approval or rollout.asked_about is None:
        return links.to_rollout(rollout.id)
    return links.to_approval(ApprovalLink(rollout.id, rollout.step, rollout.asked_about, _until(rollout, now)))


def _until(rollout: Rollout, now: datetime) -> datetime:
    over = deadline(rollout, now)
    return now + LASTS if over is None or over <= now else min(now + LASTS, over)
