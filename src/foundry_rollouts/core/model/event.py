"""A fact in the history."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of

#: A wait that the history records, because something begins with it.
HELD = "rollout.held"
#: Somebody is waited for, or a proof that is late.
WAITING = "rollout.waiting"
#: Harm is proved, and the policy leaves the answer to a person.
HARMED = "rollout.harmed"


@dataclass(frozen=True, slots=True)
class Event:
    """A fact in the history. ``id`` is made of what happened, so that the same fact is written once.

    Two functions make one: ``of_rollout`` and ``of_agent``. The store reads them back.
    """

    id: str
    at: datetime
    kind: str  #: Past tense, as ``rollout.advanced``.
    agent: str
    because: str
    rollout: str | None = None
    step: int | None = None
    weights: dict[str, int] | None = None  #: Version to percent, as they are after the event.
    author: str | None = None
    canary: str | None = None
    stable: str | None = None
    policy: str | None = None  #: The name of the rollout's policy.
    policy_hash: str | None = None  #: What that policy said when the rollout was created.
    phase: str | None = None  #: Of the rollout, after the event.
    waits_for: str | None = None  #: ``approval``, ``person`` or ``proof``; programs outside read it as ``for``.

    def showing(self, routing: Routing | None) -> "Event":
        """Return the event with the weights of ``routing``."""
        return self if routing is None else replace(self, weights=dict(routing.weights))

    def by(self, author: str) -> "Event":
        """Return the event with its author."""
        return replace(self, author=author)


def of_rollout(rollout: Rollout, kind: str, because: str, at: datetime, number: str | None = None) -> Event:
    """Return the next event of a rollout as it stands; ``number`` names one that is none of its own count."""
    return Event(
        id=f"{rollout.id}:{number or rollout.event_count + 1}",
        at=at,
        kind=kind,
        agent=rollout.agent,
        because=because,
        step=rollout.step or None,
        **_about(rollout),
    )


def of_creation(rollout: Rollout) -> Event:
    """Return the first event of a rollout, whoever creates it."""
    return Event(
        id=f"{rollout.id}:1",
        at=rollout.created_at,
        kind="rollout.created",
        agent=rollout.agent,
        because=rollout.because,
        weights=dict(routing_of(rollout).weights),
        author=rollout.author,
        **_about(rollout),
    )


def _about(rollout: Rollout) -> dict[str, Any]:
    """Return what every event of ``rollout`` says of it."""
    return {
        "rollout": rollout.id,
        "canary": rollout.canary,
        "stable": rollout.stable,
        "policy": rollout.policy.name,
        "policy_hash": policy_hash(rollout.policy),
        "phase": rollout.phase.value,
    }


def of_agent(agent: str, kind: str, because: str, at: datetime, which: str) -> Event:
    """Return an event of an agent; the same ``kind`` and ``which`` are the same fact, and are written once."""
    return Event(f"{agent}:{kind}:{which}", at, kind, agent, because)


def number_at(at: datetime) -> str:
    """Return what tells one fact from the next of its kind by their time."""
    return str(int(at.timestamp() * 1000))
