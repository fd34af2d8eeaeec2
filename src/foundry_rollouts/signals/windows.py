"""The windows of one rollout at its present step: a call belongs to the one in which it began, whenever it is seen.

A window whose tick was never recorded is asked for again, with a later end.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.core.model.measurement import Window
from foundry_rollouts.core.model.rollout import Rollout

#: How long new sessions may still be divided as before, once a step has begun.
ROUTING_TIME = timedelta(seconds=5)
#: Of a step that lasts very long, so many windows are kept apart.
MOST_WINDOWS = 5_000


@dataclass(slots=True)
class StepWindows:
    """The windows that were asked for at the present step, oldest first; the last one is the present one.

    What an earlier process asked for is not known: all of it is one window, from the step's begin on.
    """

    step_began_at: datetime | None = None
    routed_since: datetime | None = None  #: Sessions that began earlier may have met the weights of before.
    _known: list[Window] = field(default_factory=list)

    def enter(self, rollout: Rollout, window: Window) -> tuple[bool, bool]:
        """Note that ``window`` is asked for; return whether a step begins, and whether the last one is recorded."""
        is_new_step = not self._known or rollout.step_started_at != self.step_began_at
        if is_new_step:
            self.step_began_at = rollout.step_started_at
            # By the first window the change was made and read back, which takes a while.
            self.routed_since = max(window.end, (self.step_began_at or window.end) + ROUTING_TIME)
            self._known.clear()
        is_recorded = not self._known or self._known[-1].end <= window.start
        while self._known and self._known[-1].end > window.start:
            self._known.pop()
        self._known = [*self._known[1 - MOST_WINDOWS :], window]
        return is_new_step, is_recorded

    def of(self, began_at: datetime) -> Window | None:
        """Return the window in which a call began; None where it began before the present step."""
        first = self._known[0]
        begin = self.step_began_at or first.start
        if began_at < begin:
            return None
        at = bisect_right(self._known, began_at, key=lambda window: window.start)
        return self._known[at - 1] if at else Window(begin, first.start)
