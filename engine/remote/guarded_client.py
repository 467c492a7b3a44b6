"""A web client that checks every address it connects to, also after a redirect."""

import asyncio
import errno
import socket
from typing import Any

import aiohttp
from aiohttp.abc import ResolveResult

from .hosts import is_address, refuse_private

PATIENCE = 60.0
"""Seconds that a connection may be silent, where a request has no shorter limit."""


class GuardedResolver(aiohttp.ThreadedResolver):
    """Looks up names, and refuses those whose addresses are not public."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__()
        self.allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        found = await super().resolve(host, port, family)
        refuse_private(host, [item["host"] for item in found], self.allowed)
        return found


class GuardedConnector(aiohttp.TCPConnector):
    """Connects to public addresses; one that stands in a URL as numbers is never looked up, and is checked here."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(resolver=GuardedResolver(allowed))
        self.allowed = allowed

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """Return a connection for a request."""
        host = req.url.host or ""
        if is_address(host):
            refuse_private(host, [host], self.allowed)
        return await super().connect(req, traces, timeout)


async def guarded_client(allowed: tuple[str, ...], timeout: float, loop: asyncio.AbstractEventLoop) -> Any:
    """Return a session; a request takes `timeout` seconds at the most, where that is finite."""
    silent = min(timeout, PATIENCE)
    limits = aiohttp.ClientTimeout(
        total=timeout if timeout < float("inf") else None, sock_connect=silent, sock_read=silent
    )
    return aiohttp.ClientSession(loop=loop, connector=GuardedConnector(allowed), timeout=limits)


def web_failure(error: BaseException) -> str | None:
    """Return the error code of a failed request, None where the web has no part in it."""
    if isinstance(error, aiohttp.ClientResponseError) and error.status:
        return f"http_{error.status}"
    if isinstance(error, FileNotFoundError):  # what fsspec makes of it
        return "http_404"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connecting_failure(error)
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.InvalidURL):
        return "bad_url"
    return "connection_lost" if isinstance(error, aiohttp.ClientError) else None


def _connecting_failure(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.ClientConnectorSSLError):
        return "host_not_found" if isinstance(error, aiohttp.ClientConnectorDNSError) else "bad_certificate"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "bad_certificate"
    return "connection_refused" if error.errno == errno.ECONNREFUSED else "not_connected"
