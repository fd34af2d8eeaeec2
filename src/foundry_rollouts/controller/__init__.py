"""THE SHELL: does what the core decided.

``tick.py`` is the screen to read first: observe, judge, decide, act, record. ``scheduler.py`` says when, ``act.py``
how the cloud is changed, ``recover.py`` what an earlier process left open. It speaks to ``ports`` only.
"""
