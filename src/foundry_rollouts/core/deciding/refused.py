"""A change that the cloud refuses: what is said of it, and when it is sent again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from foundry_rollouts.core.model.backoff import BACK, FORWARD, Refused, Refusing, refused_again
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.event import Event, number_at, of_agent, of_rollout
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import ChangeError, DriftError

#: What a rollout waits for while a change is refused.
CLOUD = "the cloud to take the change"
#: More of a refusal's own words is for the log.
MOST_WORDS = 300

#: How the cloud keeps a change from coming about.
Refusal = ChangeError | DriftError


def step_refused(stands: Rollout, then: Rollout, error: Refusal, now: datetime) -> Refused:
    """Return what is known once the step that leads to ``then`` was refused to the rollout as it ``stands``."""
    is_last = then.phase is Phase.PROMOTED
    what = f"the promotion of version {then.canary}" if is_last else f"the step to {then.weight}%"
    return refused_again(stands.refused, _refusing(what, error), FORWARD, now)


def is_silent(error: Refusal) -> bool:
    """Whether no answer came, so that it may have been done: a read shows that, before it is called refused."""
    return isinstance(error, ChangeError) and error.refusal.status is None


def back_refused(before: Refused | None, target: Routing, error: Refusal, now: datetime) -> Refused:
    """Return what is known once the way back to ``target`` was refused."""
    return refused_again(before, _refusing(f"the way back to {target}", error), BACK, now)


def is_resting(refused: Refused | None, commands: Sequence[Command], now: datetime) -> bool:
    """Whether a change that was refused is not to be sent yet; a request that came since is tried at once."""
    return refused is not None and now < refused.until and not any(each.at > refused.at for each in commands)


def noted(rollout: Rollout, refused: Refused, now: datetime, harm: str | None = None) -> Rollout:
    """Return ``rollout`` as it waits for the cloud to take a change; ``harm`` is why a retreat is wanted."""
    because = refused.sentence(now)
    return replace(rollout, refused=refused, because=f"{harm}. {because}" if harm else because, waiting_for=CLOUD)


def event_of_refusal(
    agent: str, rollout: Rollout | None, before: Refused | None, refused: Refused, now: datetime
) -> Event | None:
    """Return the event of a refusal, once for each kind; None where that was reported.

    Its number is none of the rollout's own: the end that an open intent will write has one already.
    """
    kinds = refused.told[len(before.told) if before else 0 :]
    if not kinds:
        return None
    which = f"{kinds[0]}:{number_at(refused.since)}"
    if rollout is None:
        return of_agent(agent, "agent.refused", refused.sentence(now), now, which)
    return of_rollout(rollout, "rollout.refused", rollout.because, now, f"refused:{which}")


def _refusing(what: str, error: Refusal) -> Refusing:
    if isinstance(error, DriftError):
        return Refusing("not-kept", f"the cloud takes {what} and does not keep it: {_short(str(error))}")
    refusal, asked = error.refusal, error.retry_after
    wish = f" (it asks to wait {round(asked / timedelta(seconds=1))} s)" if asked else ""
    if refusal.status is None:
        return Refusing("no-answer", f"the cloud does not answer to {what}: {_short(refusal.message)}{wish}", asked)
    words = " ".join(word for word in (str(refusal.status), refusal.code) if word)
    return Refusing(str(refusal.status), f"the cloud refuses {what}: {words}: {_short(refusal.message)}{wish}", asked)


def _short(text: str) -> str:
    return text if len(text) <= MOST_WORDS else text[:MOST_WORDS] + " ..."
