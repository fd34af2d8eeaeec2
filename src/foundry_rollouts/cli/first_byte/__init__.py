"""``bench pages``: how soon the first byte of an answer comes from a service that knows many agents.

``crowd.py`` fills a database, ``service.py`` serves it on a real socket, ``timing.py`` asks and takes the time,
``measure.py`` makes a report of it. It stands beside the other measurements (``bench/``) and not in them: those know
the core and nothing else, and this one needs the store and the web.
"""
