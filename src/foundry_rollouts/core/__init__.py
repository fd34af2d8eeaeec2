"""THE DECISION: what a rollout does next, and why.

Pure: no clock, no network, no database, no log; everything arrives as an argument.
Start with ``decide.py``; ``judge.py`` makes the analysis that it rests on, ``routing.py`` says what traffic
the result calls for. Anyone may read here; nothing here reads from anywhere else.
"""
