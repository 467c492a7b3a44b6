"""The file systems behind URLs: which package each one needs, and web access that keeps to public addresses."""

import re
from functools import cache, partial
from typing import Any

import fsspec

from ...errors import MissingExtraError
from ...extras import require
from .hosts import ForbiddenHostError, refuse_private_host

EXTRAS = {
    "http": ("aiohttp", "http"),
    "https": ("aiohttp", "http"),
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
}
"""Package and extra by protocol; of other protocols fsspec says what they need."""

CHAIN = re.compile(r"::(?![^\[\]/]*\])")
"""What chains URLs: two colons that do not stand in the brackets of an IPv6 address."""

UNKNOWN_PROTOCOL = "unknown_protocol"


def protocols_of(url: str) -> list[str]:
    """Return the protocols of a URL: several where it chains file systems, as in `zip://a.png::https://host/b.zip`."""
    return [part.partition("://")[0] for part in _links(url)]


def _links(url: str) -> list[str]:
    """Return the URLs of a chain; what a host's brackets hold is an IPv6 address and no link."""
    return CHAIN.split(url)


def is_http(url: str) -> bool:
    """Tell whether a URL is a plain web address."""
    return url.startswith(("http://", "https://")) and len(protocols_of(url)) == 1


def require_protocols(url: str, doing: str = "reading") -> None:
    """Raise `MissingExtraError` where a URL needs a package that is not installed, `ValueError` if nothing knows it."""
    for protocol in protocols_of(url):
        _require_protocol(protocol, doing)


@cache
def _require_protocol(protocol: str, doing: str) -> None:
    purpose = f"{doing} {protocol}:// URLs"
    if protocol in EXTRAS:
        require(*EXTRAS[protocol], purpose)
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise MissingExtraError(f"{purpose} needs a package that is not installed: {error}") from None


def file_system(url: str, allow_hosts: tuple[str, ...], timeout: float) -> tuple[Any, str]:
    """Return the file system of a URL, and the place in it.

    allow_hosts: see `ReadingConfig`. timeout: seconds for one request. Raises `MissingExtraError`, `ForbiddenHostError`,
    and `ValueError` on a protocol that nothing knows.
    """
    require_protocols(url)
    for part in _links(url):
        refuse_private_host(part, allow_hosts)
    web = {protocol for protocol in protocols_of(url) if protocol in ("http", "https")}
    if not web:
        return fsspec.core.url_to_fs(url)
    options = {"get_client": _client(allow_hosts, timeout)}
    if is_http(url):
        return fsspec.filesystem(web.pop(), **options), url
    return fsspec.core.url_to_fs(url, **dict.fromkeys(web, options))


@cache
def _client(allow_hosts: tuple[str, ...], timeout: float) -> Any:
    """Return what makes a web client; always the same object, by which fsspec knows that a file system is the same."""
    from .guarded_client import guarded_client

    return partial(guarded_client, allow_hosts, timeout)


def failure_of(error: Exception, url: str) -> tuple[str, str]:
    """Return the error code and the message of a failure to read a URL."""
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # fsspec takes every failure to ask for a file's size as the lack of that file
    if isinstance(error, ForbiddenHostError):
        return "forbidden_host", str(error)
    if "http" in protocols_of(url) or "https" in protocols_of(url):
        from .guarded_client import web_failure

        code = web_failure(error)
        if code:
            return code, f"{type(error).__name__}: {error}"[:300]
    if isinstance(error, OSError):
        return type(error).__name__, error.strerror or str(error)
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return UNKNOWN_PROTOCOL, str(error)
    return "unreadable", f"{type(error).__name__}: {error}"[:300]
