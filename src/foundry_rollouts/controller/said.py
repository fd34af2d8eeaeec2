"""What log lines and traces say of a rollout, in the same words everywhere."""

from foundry_rollouts.core.model.rollout import Rollout

AGENT = "foundry_rollouts.agent"


def words(rollout: Rollout) -> dict[str, str | None]:
    """Return what each log line about ``rollout`` carries."""
    return {"agent": rollout.agent, "rollout": rollout.id, "canary": rollout.canary, "stable": rollout.stable}


def about(rollout: Rollout) -> dict[str, str | int | None]:
    """Return what a trace says of ``rollout``."""
    said: dict[str, str | int | None] = {f"foundry_rollouts.{name}": word for name, word in words(rollout).items()}
    return said | {"foundry_rollouts.step": rollout.step, "foundry_rollouts.phase": rollout.phase.value}
