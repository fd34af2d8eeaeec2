"""What is gone is no baseline: the moves when the canary or the stable version was deleted during a trial."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.core.model.decision import Disable, Fail, Hold, Pause
from foundry_rollouts.core.model.measurement import Counts, Measurement
from foundry_rollouts.core.model.rollout import Missing, Phase, Rollout

#: Two equal looks, so far apart, before it is believed that something was deleted.
SURE_AFTER = timedelta(seconds=5)
AGENT = "the agent"
PERSON = "a person: promote or abort"


@dataclass(frozen=True, slots=True)
class Loss:
    """What is gone for sure, and what may be: see ``loss_of``."""

    agent: bool = False
    stable: bool = False
    canary: bool = False
    doubt: str | None = None  #: What is waited for a second look at.


def missed(rollout: Rollout, absent: tuple[str, ...], now: datetime) -> tuple[Missing, ...]:
    """Return what is ``absent`` now, each since the first of the looks in a row that did not find it."""
    since = {each.what: each.since for each in rollout.missing}
    return tuple(Missing(what, since.get(what, now)) for what in absent)


def loss_of(rollout: Rollout, now: datetime) -> Loss:
    """Return what ``rollout.missing`` means at ``now``."""
    gone = {each.what for each in rollout.missing if now - each.since >= SURE_AFTER}
    doubtful = [each.what for each in rollout.missing if each.what not in gone]
    named = " and ".join(what if what == AGENT else f"version {what}" for what in doubtful)
    return Loss(
        agent=AGENT in gone,
        stable=rollout.stable in gone,
        canary=rollout.canary in gone,
        doubt=f"the cloud shows {named} no more; looked at once more before it is believed" if doubtful else None,
    )


def uncounted(rollout: Rollout, measurements: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    """Return the measurements without the calls of what is missing: its 404s are nobody's failures."""
    absent = {each.what for each in rollout.missing}
    if not absent:
        return measurements
    if rollout.canary in absent or AGENT in absent:
        return tuple(replace(each, stable=Counts(), canary=Counts()) for each in measurements)
    return tuple(replace(each, stable=Counts()) for each in measurements)


def lose_canary(rollout: Rollout) -> Fail | Disable:
    """End the trial of a version that was deleted meanwhile."""
    because = f"version {rollout.canary} was deleted during its trial"
    if rollout.refuge is None:
        return Disable(f"{because}, and there is no version to go back to")
    return Fail(f"{because}; all new sessions go to version {rollout.refuge}")


def lose_stable(rollout: Rollout) -> Pause | Hold:
    """Wait for a person: nothing measured from now on says anything of a canary without its baseline."""
    because = stable_is_gone(rollout)
    return Hold(because, PERSON) if rollout.phase is Phase.PAUSED else Pause(because)


def stable_is_gone(rollout: Rollout) -> str:
    """Say that the stable version was deleted, and what can be done."""
    return (
        f"stable version {rollout.stable} was deleted during the trial: version {rollout.canary} can be compared with"
        " nothing, and there is no version to go back to. Promote it, or abort, which closes the endpoint"
    )
