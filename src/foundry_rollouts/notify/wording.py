"""What a target gets: the sentence of the history, and which agent, version and step it is about.

A sentence may repeat what others wrote, down to the text of an exception: it is sent as one line that pings nobody.
"""

from dataclasses import dataclass

from foundry_rollouts.core.model.notice import Severity, severity_of
from foundry_rollouts.ports import Notice
from foundry_rollouts.untrusted import harmless

TITLE = 200  #: Characters of a headline: mail and pagers take no more.


@dataclass(frozen=True, slots=True)
class Words:
    """A message to people."""

    title: str
    text: str
    severity: Severity
    about: Notice | None = None  #: None: it is a test.


def words_of(notice: Notice, link: str | None = None) -> Words:
    """Return what is said of ``notice``; ``link`` opens the page that it is about."""
    event, rollout = notice.event, notice.rollout
    severity = severity_of(event)
    what = event.kind.rpartition(".")[2].replace("_", " ") + (f" for {event.waits_for}" if event.waits_for else "")
    again = " (reminder)" if notice.is_reminder else ""
    version = f" version {rollout.canary}" if rollout else ""
    title = harmless(f"[{severity}] {event.agent}{version}: {what}{again}", TITLE)
    lines = [harmless(event.because)]
    if rollout is not None:
        lines.append(harmless(_where(notice)))
    if notice.repeats:
        lines.append(f"{notice.repeats} more like this since it was said first.")
    lines.append(f"{event.at:%Y-%m-%d %H:%M:%S} UTC")
    if link is not None:
        lines.append(link)
    return Words(title, "\n".join(lines), severity, notice)


def _where(notice: Notice) -> str:
    event, rollout = notice.event, notice.rollout
    assert rollout is not None  # noqa: S101 - who asks has checked
    step = f", step {event.step} of {len(rollout.policy.steps)}" if event.step else ""
    weights = ", ".join(f"version {version} {percent}%" for version, percent in sorted((event.weights or {}).items()))
    by = f"; by {event.author}" if event.author else ""
    return f"policy {rollout.policy.name}{step}{f'; {weights}' if weights else ''}{by}; rollout {rollout.id}"
