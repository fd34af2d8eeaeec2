"""How the routing differs from the plan, because somebody else changed it."""

from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing, routing_of


def drift_of(rollout: Rollout, seen: Routing | None) -> str | None:
    """Say how the routing differs from the plan; None when it does not, or cannot be seen."""
    planned = routing_of(rollout)
    if seen is None or seen == planned or rollout.phase is not Phase.PROGRESSING:
        return None
    if not seen.is_open:
        return "somebody disabled the endpoint"
    versions = {version for version, _ in seen.weights}
    if LATEST in versions:
        return f"the endpoint follows {LATEST} again, the plan is {planned}"
    foreign = sorted(versions - {rollout.stable, rollout.canary})
    if foreign:
        return f"somebody routed to version {', '.join(foreign)}: {seen}, the plan is {planned}"
    return f"somebody changed the routing to {seen}, the plan is {planned}"
