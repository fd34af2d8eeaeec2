"""The whole judge, for many rollouts at once: what ``bench world`` asks whether each rule of the judge is worth having.

``laws.py`` names the rules that can be left out; ``judge.py`` puts the evidence together, ``pilot.py`` leads the steps.
"""
