"""Who is notified, and whether it reaches them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.ports import Store, Targets, TargetState


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target: what it hears, and how its messages fare. Its address is a secret, and is not here."""

    name: str
    kind: str
    severity: str
    policies: Sequence[str]
    phases: Sequence[str]
    quiet: str | None
    pending: int  #: Messages that are due, or tried again.
    oldest: datetime | None  #: Since when the oldest of them waits.
    given_up: int
    trouble: str | None  #: Why the last attempt came to nothing; null: it did not.


async def target_views(store: Store, targets: Targets | None, now: datetime) -> list[TargetView]:
    """Return every target that is configured, in the order of the file."""
    shown = targets.shown() if targets else ()
    if not shown:
        return []
    states = {state.target: state for state in await store.target_states(now)}
    views = []
    for each in shown:
        state = states.get(each.name) or TargetState(each.name)
        view = TargetView(
            each.name,
            each.kind,
            each.severity,
            each.policies,
            each.phases,
            each.quiet,
            state.pending,
            state.oldest,
            state.given_up,
            state.trouble,
        )
        views.append(view)
    return views


async def silent_targets(store: Store, targets: Targets | None, now: datetime) -> list[TargetView]:
    """Return the targets that messages do not reach."""
    return [view for view in await target_views(store, targets, now) if view.trouble]


async def try_target(targets: Targets | None, name: str) -> None:
    """Send a test message. Raises NotFoundError for an unknown target, UnavailableError when it does not take it."""
    if targets is None:
        raise NotFoundError(f"there is no target {name}: no target is configured, set FOUNDRY_ROLLOUTS_NOTIFY_TARGETS")
    await targets.test(name)
