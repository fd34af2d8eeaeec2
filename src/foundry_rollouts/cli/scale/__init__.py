"""``bench scale``: what one machine carries, part by part, beside the goals of docs/scaling.md.

Three kinds of processes: a light Foundry (``cloud.py`` answers, ``wire.py`` speaks HTTP), the real service, watched
(``watched.py``), and the one that measures. ``crowd.py`` writes rollouts, ``stage.py`` holds the processes,
``window.py``, ``reaction.py`` and ``floor.py`` measure one thing each in the order of ``measure.py``, and
``verdicts.py`` compares ``figures.py`` with the goals. It stands beside the other measurements (``bench/``) and not in
them: those know the core and nothing else.
"""
