"""The real store and the app over it, for the command line that is run against them."""

from unit.conftest import services, store

__all__ = ["services", "store"]
