"""Which policy is meant: by its name, or by an agent that it names most exactly."""

from collections.abc import Sequence

from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.errors import NotFoundError, UsageError


def policy_named(policies: Sequence[Policy], name: str) -> Policy:
    """Return the one of ``policies`` called ``name``. Raises NotFoundError."""
    for policy in policies:
        if policy.name == name:
            return policy
    known = ", ".join(sorted(policy.name for policy in policies)) or "none"
    raise NotFoundError(f"there is no policy named {name}: known are {known}")


def most_exact(policies: Sequence[Policy], agent: str) -> Policy | None:
    """Return the one of ``policies`` that names ``agent`` most exactly, or None. Raises UsageError on a tie."""
    matches = [(exactness, policy) for policy in policies if (exactness := policy.matches(agent)) is not None]
    if not matches:
        return None
    most = max(exactness for exactness, _ in matches)
    first, *others = [policy for exactness, policy in matches if exactness == most]
    if others:
        names = " and ".join(policy.name for policy in (first, *others))
        raise UsageError(f"policies {names} name the agent {agent} equally: name it in full in one of them")
    return first
