"""How long tests wait for what is sure to come: only what hangs is ever given up, however busy the machine is.

A test waits for an event, never for a time to pass, and no measured time decides whether it passes.
"""

#: Seconds. Less than the time that pytest gives one test, so that what hung is named.
PATIENCE = 100
