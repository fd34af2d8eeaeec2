"""``foundry-rollouts agent``: what a release engineer does with hosted agents, one file per group of commands."""
