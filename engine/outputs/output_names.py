"""Outputs whose names a file system can hold: shortened where they are too long, with a digest that keeps them apart."""

import hashlib
import os

from .layout import LONGEST_NAME, MASK_SUFFIX

MOST_BYTES = LONGEST_NAME - len(MASK_SUFFIX) - len("..tmp")
"""Of one component of an output, which still gets an extension and, until it is whole, a temporary name."""
MOST_PATH_BYTES = 2048
"""Of a whole output: file systems allow 4096 with the folder above it."""
DIGEST_DIGITS = 16


def fitted(output: str) -> str:
    """Return an output that a file system can hold: itself, or one whose long parts end in `~` and a digest."""
    return os.fsdecode(fitted_bytes(os.fsencode(output)))


def fitted_bytes(raw: bytes) -> bytes:
    """Return an output as `fitted`, where it is bytes already."""
    if len(raw) > MOST_PATH_BYTES:
        raw = _shortened(raw.rpartition(b"/")[0], 0) + b"/" + raw.rpartition(b"/")[2]
    if len(raw) > MOST_BYTES:  # otherwise no part of it can be longer
        raw = b"/".join(_shortened(part, MOST_BYTES) if len(part) > MOST_BYTES else part for part in raw.split(b"/"))
    return raw


def _shortened(part: bytes, most: int) -> bytes:
    """Return the beginning of a part, as whole UTF-8 characters, and a digest of all of it."""
    digest = hashlib.sha256(part).hexdigest()[:DIGEST_DIGITS].encode()
    start = part[: max(most - len(digest) - 1, 0)].decode(errors="ignore").encode()
    return start + b"~" + digest
