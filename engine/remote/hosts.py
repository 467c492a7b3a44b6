"""Which hosts may be read: those with public addresses, and those that the user names.

A list of URLs may come from a stranger; without this rule it could read, and show, what only this machine can reach.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

EVERY_HOST = "all"
HOST_PROTOCOLS = ("ftp", "sftp", "ssh", "smb", "webhdfs", "webHDFS", "hdfs", "arrow_hdfs", "jupyter", "jlab")
"""Protocols other than HTTP whose URLs name the host that they connect to."""

FORWARDING_PROTOCOLS = ("reference", "generic", "dask")
"""Protocols that open whatever URLs they are told to, without a word of it in their own."""

TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses whose last 32 bits are an IPv4 address (RFC 6052)."""


class ForbiddenHostError(Exception):
    """A host whose address is not public, and which was not named."""


def is_public(address: str) -> bool:
    """Tell whether an IP address, or the IPv4 address within an IPv6 address, is one of the public internet."""
    outer = ipaddress.ip_address(address.partition("%")[0])
    inner: ipaddress.IPv4Address | ipaddress.IPv6Address = outer
    if isinstance(outer, ipaddress.IPv6Address):
        translated = ipaddress.IPv4Address(int(outer) & 0xFFFFFFFF) if outer in TRANSLATED else None
        inner = outer.ipv4_mapped or outer.sixtofour or translated or outer
    return inner.is_global and not inner.is_multicast


def refuse_private(host: str, addresses: list[str], allowed: tuple[str, ...]) -> None:
    """Raise `ForbiddenHostError` if a host that was not named is at an address that is not public."""
    names = {name.strip("[]").lower() for name in allowed}
    if names & {EVERY_HOST, host.strip("[]").rstrip(".").lower()}:
        return
    private = next((address for address in addresses if not is_public(address)), None)
    if private is not None:
        at = "" if host == private else f"at {private}, "
        raise ForbiddenHostError(f"{host} is {at}no public address; --allow-hosts {host} lets it be read")


def is_address(host: str) -> bool:
    """Tell an IP address from a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def refuse_private_host(url: str, allowed: tuple[str, ...]) -> None:
    """Raise `ForbiddenHostError` if a URL of another protocol than HTTP can lead to a host that may not be read."""
    protocol = url.partition("://")[0]
    if protocol in FORWARDING_PROTOCOLS and EVERY_HOST not in allowed:
        raise ForbiddenHostError(f"{protocol}:// can lead to any host; --allow-hosts {EVERY_HOST} lets it be read")
    if protocol not in HOST_PROTOCOLS:
        return
    host = urlsplit(url).hostname
    if host:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        refuse_private(host, [str(item[4][0]) for item in found], allowed)
