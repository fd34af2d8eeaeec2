"""What is gone is no baseline: the moves when the canary or the stable version was deleted during a trial."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.measurement import Counts, Measurement
from foundry_rollouts.core.model.rollout import Missing, Phase, Rollout

#: Two equal reads, so far apart, before it is believed that something was deleted.
SURE_AFTER = timedelta(seconds=5)
AGENT = "the agent"
#: Missing, while a version of that number is there: it was deleted and made again.
ORIGINAL = "the canary as it was at its start"
PERSON = "a person: promote or abort"


@dataclass(frozen=True, slots=True)
class Loss:
    """What is gone for sure, and what may be: see ``loss_of``."""

    agent: bool = False
    stable: bool = False
    canary: bool = False
    original: bool = False  #: The canary was deleted and made again under its number.
    doubt: str | None = None  #: What waits for a second read.


def missed(rollout: Rollout, absent: tuple[str, ...], now: datetime) -> tuple[Missing, ...]:
    """Return what is ``absent`` now, each since the first of the reads in a row that did not find it."""
    since = {each.what: each.since for each in rollout.missing}
    return tuple(Missing(what, since.get(what, now)) for what in absent)


def losing(rollout: Rollout, absent: tuple[str, ...], now: datetime) -> Rollout:
    """Return the rollout with what is ``absent`` now, and whether its stable version is gone for sure."""
    if not (absent or rollout.missing or rollout.is_stable_gone):
        return rollout
    seen = replace(rollout, missing=missed(rollout, absent, now))
    return replace(seen, is_stable_gone=loss_of(seen, now).stable)


def loss_of(rollout: Rollout, now: datetime) -> Loss:
    """Return what ``rollout.missing`` means at ``now``."""
    gone = {each.what for each in rollout.missing if now - each.since >= SURE_AFTER}
    doubtful = [each.what for each in rollout.missing if each.what not in gone]
    named = " and ".join(what if what in {AGENT, ORIGINAL} else f"version {what}" for what in doubtful)
    return Loss(
        agent=AGENT in gone,
        stable=rollout.stable in gone,
        canary=rollout.canary in gone,
        original=ORIGINAL in gone,
        doubt=f"the cloud shows {named} no more; read once more before it is believed" if doubtful else None,
    )


def uncounted(rollout: Rollout, measurements: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    """Return the measurements without the calls of what is missing: its 404s are nobody's failures."""
    absent = {each.what for each in rollout.missing}
    if not absent:
        return measurements
    if absent & {rollout.canary, AGENT, ORIGINAL}:
        return tuple(replace(each, stable=Counts(), canary=Counts()) for each in measurements)
    return tuple(replace(each, stable=Counts()) for each in measurements)


def lose_canary(rollout: Rollout, *, is_made_again: bool = False) -> Decision:
    """End the trial of a version that was deleted meanwhile, or that is another one under its number."""
    because = f"version {rollout.canary} was deleted during its trial"
    if is_made_again:
        because = (
            f"version {rollout.canary} was deleted and made again during its trial: it is another version, and what was"
            " measured says nothing of it"
        )
    if rollout.refuge is None:
        return Decision(Move.DISABLE, f"{because}, and there is no version to go back to")
    return Decision(Move.FAIL, f"{because}; all new sessions go to version {rollout.refuge}")


def lose_stable(rollout: Rollout) -> Decision:
    """Wait for a person: nothing measured from now on says anything of a canary without its baseline."""
    because = stable_is_gone(rollout)
    return Decision(Move.HOLD, because, PERSON) if rollout.phase is Phase.PAUSED else Decision(Move.PAUSE, because)


def wait_for_stable(rollout: Rollout, doubt: str | None) -> Decision | None:
    """Return the wait of a trial that has not begun without its stable version; None where it needs none.

    A version that was stable just before needs no comparison: it takes the place of what is gone.
    """
    if rollout.is_revert:
        return None
    if doubt:
        return Decision(Move.HOLD, doubt, "a second read")
    if not rollout.is_stable_gone:
        return None
    return Decision(
        Move.HOLD,
        f"stable version {rollout.stable} was deleted before the trial began: version {rollout.canary} can be compared"
        f" with nothing. Route all traffic to the version that is to be the stable one (`agent route {rollout.agent}`),"
        " or abort",
        "a stable version",
    )


def stable_is_gone(rollout: Rollout) -> str:
    """Say that the stable version was deleted, and what can be done."""
    return (
        f"stable version {rollout.stable} was deleted during the trial: version {rollout.canary} can be compared with"
        " nothing, and there is no version to go back to. Promote it, or abort, which closes the endpoint"
    )
