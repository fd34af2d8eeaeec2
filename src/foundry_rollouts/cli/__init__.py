"""THE DOOR: the command line ``foundry-rollouts``.

One file per group of commands; ``app.py`` puts them together, ``failures.py`` turns errors into one line and an exit
code. Commands import what they need when they run, so that ``--help`` is quick. Rollout verbs go through the ops
API: one path, one history.
"""

import sys


def run() -> None:
    """Run the command line and exit with its code."""
    from foundry_rollouts.cli.app import main

    sys.exit(main(sys.argv[1:]))
