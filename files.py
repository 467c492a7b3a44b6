"""Writing files so that a killed process or a full disk never leaves half of one under its final name."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def temporary_of(path: Path) -> Path:
    """Return the name a file has until it is whole; it is fixed, so that the next try replaces what a killed one left."""
    return path.with_name(f".{path.name}.tmp")


def flush_and_rename(path: Path) -> None:
    """Force the temporary file of `path` to disk and give it its final name."""
    temporary = temporary_of(path)
    fsync(temporary)
    temporary.replace(path)


def fsync(path: Path) -> None:
    """Force a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`: flushed and renamed when the block ends, removed when it fails."""
    temporary = temporary_of(path)
    try:
        yield temporary
        flush_and_rename(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """Remove a folder, and those above it, when the block ends, as far as they were made in it and are empty."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        with suppress(OSError):  # not empty any more
            for path in made:
                path.rmdir()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """Return a short digest of a JSON value that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
