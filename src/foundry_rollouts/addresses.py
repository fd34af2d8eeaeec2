"""Addresses: which of them are this machine and nothing else."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine and nothing else, so that nothing sent to it crosses a network."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Return the host that ``url`` names; empty when it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
