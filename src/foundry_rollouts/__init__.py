"""Progressive rollouts for Microsoft Foundry agents: no new version meets all users untested.

Five files to read first: ``core/deciding/decide.py`` (the next move), ``core/judging/judge.py`` (what it rests on),
``controller/tick.py`` (how it is carried out), ``ports/`` (what that asks of the world), ``wiring.py`` (the world).
"""
