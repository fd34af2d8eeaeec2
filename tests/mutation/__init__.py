"""Mutation testing of the core: each small change of the code must be noticed by a test, or be recorded with a reason.

Start with ``make mutants``; ``changes.py`` says what is changed, ``trials.py`` how a change is tried,
``survivors.toml`` which changes cannot be noticed and why.

Why a tool of our own: mutmut 3 passes over every property and over every number that stands outside functions, which
is where the core keeps its thresholds; cosmic-ray starts a process and collects the tests for each change, which takes
hours here.
"""
