"""What people may ask: start, pause, resume, approve, promote, abort, retry; lists and views.

An operation writes a request into the store and never calls the cloud: the next tick obeys. Read ``start.py``
and ``commands.py`` first; what people are shown is in ``views.py`` and ``lists.py``.
"""
