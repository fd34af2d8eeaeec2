"""WHERE MEASUREMENTS COME FROM: one file, one source.

A source watches a rollout in the background and hands out what it counted since it was last asked. It knows
nothing of gates and verdicts, and it speaks to the cloud only through ``ports.Sessions``.
"""
