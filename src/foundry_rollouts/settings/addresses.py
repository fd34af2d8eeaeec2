"""Addresses to listen on."""

from foundry_rollouts.addresses import is_loopback
from foundry_rollouts.errors import UsageError


def address(listen: str) -> tuple[str, int]:
    """Return the host and the port that ``listen`` names. Raises UsageError."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{listen!r} is not an address to listen on: write HOST:PORT, for example 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def loopback_address(listen: str, because: str) -> tuple[str, int]:
    """Return host and port of an address on this machine alone; ``because`` says why no other will do."""
    host, port = address(listen)
    if not is_loopback(host):
        raise UsageError(f"{listen!r} can be reached from other machines and {because}: write 127.0.0.1:{port}")
    return host, port
