"""``python -m foundry_rollouts`` is ``foundry-rollouts``."""

from foundry_rollouts.cli import run

if __name__ == "__main__":
    run()
