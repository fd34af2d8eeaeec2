"""What a step waits for whatever is seen: calls that are still under way, and sandboxes that are still new."""

from datetime import timedelta

from foundry_rollouts.core.model.policy import CALL_LIMIT, Policy, WeightStep


def settling(policy: Policy, step: WeightStep) -> timedelta:
    """Return how long after a call began it is known how it ended, at most."""
    return policy.call_limit if policy.call_limit is not None else min(CALL_LIMIT, step.min)


def settling_seconds(policy: Policy, weight: int) -> float:
    """Return the same in seconds, at the step with that weight; none where the policy has no such step."""
    steps = [step for step in policy.steps if isinstance(step, WeightStep) and step.weight == weight]
    return settling(policy, steps[0]).total_seconds() if steps else 0.0


def least(policy: Policy, step: WeightStep) -> timedelta:
    """Return the least time that a step lasts."""
    return max(step.min, settling(policy, step))
