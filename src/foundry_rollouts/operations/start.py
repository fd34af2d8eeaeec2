"""Starting a rollout, and trying a canary again after its rollout ended badly."""

from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.model.event import of_creation
from foundry_rollouts.core.model.incarnation import is_another
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST
from foundry_rollouts.errors import ConflictError, NotFoundError, UsageError
from foundry_rollouts.operations.versions import UNCHECKED, refuse_id, seen_version
from foundry_rollouts.ports import AgentKnown, Catalogue, Policies, RolloutFilter, Store

#: The ends after which a canary may be tried again.
RETRIABLE = frozenset({Phase.ROLLED_BACK, Phase.FAILED, Phase.DISABLED, Phase.SUPERSEDED, Phase.ABORTED})

#: The ends that speak against a canary: it goes back to no users in one step.
LED_BACK = frozenset({Phase.ROLLED_BACK, Phase.DISABLED})

LAST = 50  #: Trials of a version among which the last one that measured something is searched.


@dataclass(frozen=True, slots=True)
class Start:
    """A request for a rollout that will have the id ``id``. Without ``policy`` the agent's own one is taken."""

    id: str
    agent: str
    version: str
    author: str
    policy: str | None = None
    idempotency_key: str | None = None
    reason: str | None = None
    created_at: datetime | None = None  #: When the cloud made the version that is meant; None: not known.


@dataclass(frozen=True, slots=True)
class Retry:
    """A request to try the canary of the ended ``rollout`` again, in a new rollout with the id ``id``."""

    id: str
    rollout: str
    generation: int
    author: str
    reason: str | None = None
    idempotency_key: str | None = None


async def start(
    store: Store, policies: Policies, wanted: Start, now: datetime, catalogue: Catalogue | None = None
) -> Rollout:
    """Create a rollout; it waits for others of the agent. The same idempotency key again returns what it made.

    The version that was stable just before the present one takes all traffic in one step: it is known to be good,
    unless its last trial led back.

    Raises NotFoundError for an agent, a version or a policy that nobody knows, UsageError for an agent without a policy
    and for what is no version id, ConflictError when the version is the stable one or on trial already, when it is not
    the one that is meant but another one of its number, or when the idempotency key served another request.
    """
    agent = await _agent(store, wanted.agent)
    policy = _policy(policies, wanted)
    _refuse_version(agent, wanted.version)
    is_revert = await _is_revert(store, agent, wanted.version)
    back = f", which was stable before version {agent.stable}" if is_revert else ""
    because = f"{wanted.author} asked for version {wanted.version}{back}"
    because += f": {wanted.reason}" if wanted.reason else ""
    seen = await seen_version(catalogue, wanted.agent, wanted.version) if catalogue else None
    if catalogue and seen is None:
        because += f"; {UNCHECKED}"
    _refuse_another(wanted, seen.created_at if seen else dict(agent.marks.versions).get(wanted.version))
    rollout = replace(_rollout(wanted, agent, policy, because, now), is_revert=is_revert)
    return await store.create(rollout, of_creation(rollout), wanted.idempotency_key)


async def retry(store: Store, wanted: Retry, now: datetime) -> Rollout:
    """Create a rollout of the same canary under the same policy.

    Raises NotFoundError for an unknown rollout or a lost agent, ConflictError for a stale generation, for a
    rollout that did not end badly, and for a canary that was tried again or became the stable version since.
    """
    ended = await store.rollout(wanted.rollout)
    await _refuse_retry(store, wanted, ended)
    agent = await _agent(store, ended.agent)
    if ended.incarnation != agent.incarnation:
        raise ConflictError(
            f"rollout {ended.id} was of an agent {ended.agent} that was deleted and made again since, so that version"
            f" {ended.canary} is another one: ask for it with `rollout start`"
        )
    _refuse_version(agent, ended.canary)
    reason = f": {wanted.reason}" if wanted.reason else ""
    asked = Start(wanted.id, ended.agent, ended.canary, wanted.author)
    because = f"{wanted.author} asked to try version {ended.canary} again after rollout {ended.id}{reason}"
    is_revert = ended.is_revert and await _is_revert(store, agent, ended.canary)
    rollout = replace(_rollout(asked, agent, ended.policy, because, now), is_revert=is_revert)
    return await store.create(rollout, of_creation(rollout), wanted.idempotency_key)


async def trial_of(store: Store, agent: str, version: str) -> Rollout | None:
    """Return the newest rollout of ``version`` on the present ``agent``; None when there is none."""
    known = await store.agent(agent)
    which = RolloutFilter(agent=agent, canary=version, incarnation=known.incarnation if known else None, limit=1)
    return next(iter(await store.rollouts(which)), None)


async def _stable_before(store: Store, agent: AgentKnown) -> str | None:
    """Return the version that the stable one took the place of; None when no rollout made it stable."""
    which = RolloutFilter(agent=agent.name, phase=Phase.PROMOTED, incarnation=agent.incarnation, limit=1)
    promoted = await store.rollouts(which)
    return promoted[0].stable if promoted and promoted[0].canary == agent.stable else None


async def _is_revert(store: Store, agent: AgentKnown, version: str) -> bool:
    if version != await _stable_before(store, agent):
        return False
    for trial in await store.rollouts(RolloutFilter(agent=agent.name, canary=version, limit=LAST)):
        if trial.phase in {Phase.ABORTED, Phase.SUPERSEDED, Phase.FAILED} and not trial.step:
            continue  # It never began, and says nothing of the version.
        # A return that a person aborted went well until then: that was the person's mistake, or a change of mind.
        return trial.phase not in LED_BACK or (trial.is_revert and trial.ended_by is not None)
    return True


async def _refuse_retry(store: Store, wanted: Retry, ended: Rollout) -> None:
    if ended.phase not in RETRIABLE:
        raise ConflictError(
            f"rollout {ended.id} is {ended.phase.value}: only one that was rolled back, failed, disabled or "
            "superseded can be tried again"
        )
    if wanted.generation != ended.generation:
        raise ConflictError(
            f"rollout {ended.id} is at generation {ended.generation}, not {wanted.generation}: read it again"
        )
    # One that still runs is left to the store, which knows whether this very request made it.
    newest = await trial_of(store, ended.agent, ended.canary)
    if newest and newest.id != ended.id and newest.phase.is_final:
        raise ConflictError(
            f"rollout {ended.id} was tried again already as {newest.id}, which is {newest.phase.value}: retry that one"
        )


async def _agent(store: Store, name: str) -> AgentKnown:
    known = await store.agent(name)
    if known is None:
        raise NotFoundError(f"agent {name!r} is not known: discovery has not seen it in this project (yet)")
    if known.is_gone:
        raise NotFoundError(f"agent {name!r} is gone: the cloud no longer lists it")
    return known


def _policy(policies: Policies, wanted: Start) -> Policy:
    if wanted.policy is not None:
        return policies.named(wanted.policy)
    policy = policies.policy_for(wanted.agent)
    if policy is None:
        raise UsageError(f"no policy names agent {wanted.agent!r}: add it to one, or name a policy")
    return policy


def _refuse_version(agent: AgentKnown, version: str) -> None:
    if version == LATEST:
        raise UsageError(f"{LATEST} moves by itself: name one version")
    refuse_id(version)
    if version == agent.stable:
        raise ConflictError(f"version {version} is the stable version of {agent.name} already")


def _refuse_another(wanted: Start, made_at: datetime | None) -> None:
    if is_another(made_at, wanted.created_at):
        raise ConflictError(
            f"version {wanted.version} of {wanted.agent} that this service sees was made at {made_at}, and the one that"
            f" is meant at {wanted.created_at}: does the service watch another project?"
        )


def _rollout(wanted: Start, agent: AgentKnown, policy: Policy, because: str, now: datetime) -> Rollout:
    return Rollout(
        id=wanted.id,
        agent=wanted.agent,
        canary=wanted.version,
        stable=agent.stable,
        policy=policy,
        created_at=now,
        because=because,
        waiting_for="the controller to begin",
        author=wanted.author,
        event_count=1,
        incarnation=agent.incarnation,
    )
