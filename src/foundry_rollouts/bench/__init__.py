"""THE PROVING GROUND: how well the judge does beside other rules, on the same streams, reproducibly.

Only the command line comes in here, and only the core is measured: rollouts are simulated by the thousand, so the
evidence is computed for many at once (``processes.py``), and a test holds it equal to ``core/judging/capital.py``.
Needs numpy, which the service itself does not. Start reading at ``streams.py`` (what is offered), ``rules/registry.py``
(who is measured) and ``simulate.py`` (how).
"""
