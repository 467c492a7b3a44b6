"""What tells inputs apart and shows that one has changed, some thousand inputs at a time.

It imports next to nothing, for processes beside the one that plans load it, too.
"""

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

DIGEST_BYTES = 8
"""Of the hashes that are kept of every input."""


class Places(NamedTuple):
    """Where inputs are, a column each: paths as the file system has them, offsets and rows as in `Input`."""

    paths: list[bytes]
    offsets: list[int | None]
    rows: list[int | None]


class Measured(NamedTuple):
    """What inputs are now. sizes: of their files in bytes, -1 where there is none. digest: sum of their digests."""

    sizes: list[int]
    digest: int


def measured(places: Places) -> Measured:
    """Ask for the sizes of inputs' files; the members of an archive follow each other and ask once."""
    sizes = _sizes(places.paths)
    return Measured(sizes, digest_sum(identities(places, sizes)))


def digest_sum(values: Iterable[bytes]) -> int:
    """Return the sum of digests of 32 bytes: the same in whatever order the values come."""
    digests = [hashlib.sha256(value).digest() for value in values]
    return sum([int.from_bytes(digest, "little") for digest in digests])


def short_hashes(values: Iterable[bytes]) -> bytes:
    """Return `DIGEST_BYTES` of a digest of each value, as unsigned little-endian numbers."""
    return b"".join([hashlib.blake2b(value, digest_size=DIGEST_BYTES).digest() for value in values])


def identities(places: Places, sizes: list[int]) -> list[bytes]:
    """Return bytes that no two inputs share, and that change with the size of an input's file."""
    return [b"%b\0%d" % one for one in zip(names(places), sizes, strict=True)]


def names(places: Places) -> list[bytes]:
    """Return the places as `Input.place` writes them."""
    named = places.paths
    if any(offset is not None for offset in places.offsets):
        pairs = zip(named, places.offsets, strict=True)
        named = [name if offset is None else b"%b@%d" % (name, offset) for name, offset in pairs]
    if any(row is not None for row in places.rows):
        named = [name if row is None else b"%b#%d" % (name, row) for name, row in zip(named, places.rows, strict=True)]
    return named


def _sizes(paths: list[bytes]) -> list[int]:
    sizes, last, size = list[int](), b"", -1
    for path in paths:
        if path != last:
            last, size = path, _size(path)
        sizes.append(size)
    return sizes


def _size(path: bytes) -> int:
    """Return the size of a local file in bytes; -1 for one that is not there, and for URLs, which would cost a request."""
    if b"://" in path:
        return -1
    try:
        return os.stat(path).st_size  # noqa: PTH116 - called a million times, and Path costs more than the call
    except (OSError, ValueError):
        return -1
