"""The window: the ops API (``api.py``), the live history (``stream.py``) and plain pages (``pages.py``).

``app.py`` puts them together; ``guard.py`` stands before them all; ``problems.py`` says what went wrong. Web asks
``operations`` and never reaches past them.
"""
