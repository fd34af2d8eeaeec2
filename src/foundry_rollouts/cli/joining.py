"""Getting the rollout of a new version, whoever began it: this command line, discovery, or somebody else.

The service finds new versions by itself, perhaps before it is asked, perhaps only after its next listing. A trial that
is over is never begun again here: only a person does that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from foundry_rollouts.cli.api import Json, OpsApi
from foundry_rollouts.cli.follow import Outage, is_ended
from foundry_rollouts.cli.output import say
from foundry_rollouts.core.model.incarnation import is_another
from foundry_rollouts.errors import ConflictError, NotFoundError, UnavailableError

BETWEEN_TRIES = timedelta(seconds=1)
#: How far the clocks of the cloud and of the service may be apart.
SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Trial:
    """A version that is to be tried, as the cloud made it, and what is asked of the service."""

    agent: str
    version: str
    made_at: datetime | None
    policy: str | None = None
    author: str | None = None
    reason: str | None = None

    @property
    def wanted(self) -> Json:
        return {
            "agent": self.agent,
            "version": self.version,
            "policy": self.policy,
            "author": self.author,
            "reason": self.reason,
            "created_at": self.made_at and self.made_at.isoformat(),
        }

    def is_of_it(self, rollout: Json) -> bool:
        """Whether a rollout that has ended was of this version, and not of an older one of the same number."""
        if self.made_at is None or not rollout.get("ended_at"):
            return True
        return datetime.fromisoformat(str(rollout["ended_at"])) >= self.made_at - SKEW


async def join(api: OpsApi, trial: Trial, is_dead: Callable[[], Awaitable[bool]]) -> Json | None:
    """Return the rollout of the version, begun now or earlier, perhaps ended; None when there is nothing to roll out.

    That is so when the version is the stable one, or ``is_dead``. Waits while the service is away or does not know the
    agent or the version yet.
    """
    key, outage, reported = str(uuid4()), Outage(), ""
    while True:
        try:
            found, why = await _attempt(api, trial, key)
            outage.over()
        except UnavailableError as error:
            outage.bear(error)
        else:
            if not why:
                return found
            if why != reported:
                say(f"{why}: waiting until it does", err=True)
            reported = why
            if await is_dead():
                return None
        await asyncio.sleep(BETWEEN_TRIES.total_seconds())


async def _attempt(api: OpsApi, trial: Trial, key: str) -> tuple[Json | None, str]:
    """Return the rollout, or None, and why that is not settled yet; it is, when there is no reason."""
    known = await api.in_hand(trial.agent)
    if known is None or known["is_gone"]:
        return None, f"the service does not know agent {trial.agent} yet"
    if (made_at := _made_at(known, trial.version)) and is_another(made_at, trial.made_at):
        return None, (
            f"the service knows version {trial.version} of agent {trial.agent} as made at {made_at}, and does not know"
            f" the one made at {trial.made_at} yet"
        )
    if known["stable"] is None:
        return None, f"the service does not know the stable version of agent {trial.agent} yet"
    earlier = await api.trial(trial.agent, trial.version)
    if earlier and is_ended(earlier) and trial.is_of_it(earlier):
        await _refuse_replaced(api, trial, earlier)
        return earlier, ""
    if known["stable"] == trial.version:
        return None, ""
    try:
        return await api.start(trial.wanted, key), ""
    except NotFoundError:
        if trial.policy is not None:
            raise
        return None, f"the service does not know version {trial.version} of agent {trial.agent} yet"
    except ConflictError:
        now = await api.in_hand(trial.agent)
        if now and now["stable"] == trial.version:
            return None, ""
        raise


def _made_at(known: Json, version: str) -> datetime | None:
    times = (each.get("created_at") for each in known["versions"] if each["version"] == version)
    return next((datetime.fromisoformat(str(time)) for time in times if time), None)


async def _refuse_replaced(api: OpsApi, trial: Trial, ended: Json) -> None:
    """Raise ConflictError for a version that was promoted and has been replaced since: a person did that."""
    if ended["phase"] != "promoted":
        return
    known = await api.in_hand(trial.agent)
    if known and known["stable"] not in {trial.version, None}:
        raise ConflictError(
            f"version {trial.version} of {trial.agent} was promoted by rollout {ended['id']}, and version"
            f" {known['stable']} is the stable one since: 'foundry-rollouts rollout start --agent {trial.agent}"
            f" --version {trial.version}' brings it back"
        )
