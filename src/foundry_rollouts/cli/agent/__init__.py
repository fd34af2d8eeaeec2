"""``foundry-rollouts agent``: what a release engineer does with agents, one file per group of commands."""
