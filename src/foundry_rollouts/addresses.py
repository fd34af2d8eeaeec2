"""Addresses: which of them are this machine and nothing else."""

from ipaddress import IPv6Address, ip_address, ip_network
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


def project_of(endpoint: str) -> str:
    """Return what tells the project at ``endpoint`` from others; of this machine, whatever the port, its name does."""
    host = "localhost" if is_loopback(host_of(endpoint)) else host_of(endpoint)
    return f"{host}/{urlsplit(endpoint).path.strip('/')}".lower()


def network_of(address: str) -> str:
    """Return what one client may send from: its address, of the sixth version the network that it chooses from."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((address, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
