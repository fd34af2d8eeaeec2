"""Whether sandboxes of a version become ready: asked before the first user meets it, and at every step after.

A canary whose sandboxes never become ready while stable's do is no good, and no traffic is needed to know it. Where
stable's do not become ready either, or nothing can be asked, that is no verdict on the canary.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """How sandboxes of one version fare that are opened by its number and asked."""

    since: datetime  #: From when on one is waited for; while they become ready, when the last wait began.
    ready_in: timedelta | None = None  #: How long the last one took; None: none became ready since ``since``.
    ready_at: datetime | None = None
    trouble: str | None = None  #: Why the last try came to nothing.
    is_ours: bool = False  #: The trouble is our own: a lost network, throttling.
    is_barred: bool = False  #: We may not open sessions there, or there is no such thing.


@dataclass(frozen=True, slots=True)
class Readiness:
    """How sandboxes of both versions fare; None: there is no stable version."""

    canary: Sandboxes
    stable: Sandboxes | None


def before_users(rollout: Rollout, seen: Readiness | None, now: datetime) -> Decision | None:
    """Return what keeps a rollout from its first weight: a wait, or the verdict; None when it may begin."""
    within = rollout.policy.ready_within
    if seen is None or within is None or seen.canary.ready_in is not None:
        return None
    canary, stable = seen.canary, seen.stable
    wish, is_over = f"a sandbox of version {rollout.canary} to be ready", now - canary.since >= within
    because = f"waiting for {wish}"
    if canary.is_barred:
        # Who may not check cannot wait for the result: the steps and their evidence are left.
        return (
            None
            if is_over
            else Decision(Move.HOLD, f"{because}, and sessions cannot be opened: {canary.trouble}", wish)
        )
    if canary.is_ours:
        return Decision(Move.HOLD, f"{because}, which cannot be asked at present: {canary.trouble}", wish)
    if stable is not None and stable.ready_in is None:
        trouble = f" ({stable.trouble})" if stable.trouble else ""
        return Decision(Move.HOLD, f"{because}; none of stable version {rollout.stable} is ready either{trouble}", wish)
    if is_over:
        return Decision(Move.FAIL, _never_ready(rollout, seen, within))
    return Decision(Move.HOLD, f"{because} ({canary.trouble})" if canary.trouble else because, wish)


def unseen(seen: Readiness | None) -> str:
    """Return what the start of a rollout has to add when its sandboxes could not be checked."""
    if seen is None or seen.canary.ready_in is not None:
        return ""
    return f" (its sandboxes were not checked: sessions cannot be opened, {seen.canary.trouble})"


def with_sandboxes(analysis: Analysis, rollout: Rollout, seen: Readiness | None, now: datetime) -> Analysis:
    """Return the verdict with what sandboxes say: a canary whose sandboxes are never ready is harm at any step."""
    within = rollout.policy.ready_within
    if seen is None or within is None or analysis.verdict is Verdict.FAIL or not _is_dead(seen, now - within):
        return analysis
    because = _never_ready(rollout, seen, within)
    return replace(analysis, verdict=Verdict.FAIL, because=because, waiting_for=None, on_failure=None)


def _is_dead(seen: Readiness, before: datetime) -> bool:
    """Whether the canary's sandboxes were waited for since ``before`` in vain, and one of stable's became ready."""
    canary, stable = seen.canary, seen.stable
    if canary.ready_in is not None or canary.is_ours or canary.is_barred or stable is None or stable.ready_at is None:
        return False
    return canary.since <= before and stable.ready_in is not None and stable.ready_at >= canary.since


def _never_ready(rollout: Rollout, seen: Readiness, within: timedelta) -> str:
    text = f"no sandbox of version {rollout.canary} was ready within {_span(within)}"
    if seen.stable is not None and seen.stable.ready_in is not None:
        text += f", stable's are ready in {max(1, math.ceil(seen.stable.ready_in.total_seconds()))} s"
    return f"{text}; the last one: {seen.canary.trouble}" if seen.canary.trouble else text


def _span(span: timedelta) -> str:
    """Return ``span`` as a policy would write it."""
    minutes, seconds = divmod(span.total_seconds(), 60)
    return (f"{minutes:g}m" if minutes else "") + (f"{seconds:g}s" if seconds or not minutes else "")
