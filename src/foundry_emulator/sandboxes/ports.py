"""Free ports for agents, outside the range from which the system takes ports for outgoing connections."""

import random
import socket

_FIRST, _LAST = 20_000, 32_000
_ATTEMPTS = 200


class PortPool:
    """Ports that no agent of this emulator has and nothing else listens on."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        # Several emulators on one machine must not walk through the same ports in step.
        self._random = random.SystemRandom()

    def take(self) -> int:
        """Return a free port and remember it until it is released."""
        for _ in range(_ATTEMPTS):
            port = self._random.randint(_FIRST, _LAST)
            if port not in self._taken and _is_free(port):
                self._taken.add(port)
                return port
        return _any_free_port()

    def release(self, port: int) -> None:
        """Give a port back."""
        self._taken.discard(port)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
