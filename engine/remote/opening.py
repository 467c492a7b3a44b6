"""Opening what an input names, local or remote, and reading it within bounds of size, time and place."""

import errno
import os
import stat
import time
from dataclasses import dataclass
from typing import IO

from ...errors import FailedImageError, UnseeError
from .filesystems import file_system, is_http

NOT_A_FILE = "not_a_file"
TIMEOUT = "timeout"
TOO_LARGE = "too_large"
CHUNK = 1 << 20
LOCAL_PROTOCOLS = ("file://", "local://")


class ReadingError(FailedImageError):
    """An input whose bytes cannot be had."""


@dataclass(frozen=True)
class ReadingConfig:
    """Within which bounds inputs are read.

    max_bytes: of one image file, checked while it is read. timeout: seconds for one image. allow_hosts: web hosts that
    may be read although their addresses are not public, `all` for every host. image_column: the column of a parquet file
    that holds its images, None for the first of a type that can.
    """

    max_bytes: int = 500_000_000
    timeout: float = 60.0
    allow_hosts: tuple[str, ...] = ()
    image_column: str | None = None

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise UnseeError(f"max bytes must be at least 1, got {self.max_bytes}")
        if self.timeout <= 0:
            raise UnseeError(f"timeout must be above 0 seconds, got {self.timeout:g}")


def is_url(path: str) -> bool:
    """Tell a URL that fsspec opens from a local path."""
    return "://" in path


def local_path(path: str) -> str | None:
    """Return the path of a file of this machine, also one written as a `file://` URL; None for other URLs."""
    if not is_url(path):
        return path
    protocol = next((protocol for protocol in LOCAL_PROTOCOLS if path.startswith(protocol)), None)
    return path.removeprefix(protocol) if protocol and "::" not in path else None


def open_binary(path: str, reading: ReadingConfig) -> IO[bytes]:
    """Open a local file or a URL for reading at any place.

    Raises `ReadingError` with code `not_a_file` for folders, pipes and devices, else what the file system raises.
    """
    local = local_path(path)
    if local is not None:
        return _open_regular(local)
    system, place = file_system(path, reading.allow_hosts, reading.timeout)
    return system.open(place, "rb")


def open_stream(path: str, reading: ReadingConfig) -> IO[bytes]:
    """Open a local file or a URL for reading from start to end, which costs a web server one request only."""
    if not is_http(path):
        return open_binary(path, reading)
    system, place = file_system(path, reading.allow_hosts, reading.timeout)
    return system.open(place, "rb", block_size=0, size=1)  # size: whatever keeps fsspec from asking for it


def read_within(file: IO[bytes], reading: ReadingConfig, deadline: float) -> bytes:
    """Return the rest of a file; raise `ReadingError` once it is longer, or takes longer, than allowed."""
    chunks: list[bytes] = []
    total = 0
    while chunk := file.read(CHUNK):
        chunks.append(chunk)
        total += len(chunk)
        check_size(total, reading)
        if time.monotonic() > deadline:
            raise ReadingError(TIMEOUT, f"not read within {reading.timeout:g} seconds")
    return b"".join(chunks)


def check_size(size: int, reading: ReadingConfig, what: str = "the file") -> None:
    """Raise `ReadingError` where something is larger than allowed."""
    if size > reading.max_bytes:
        raise ReadingError(TOO_LARGE, f"{what} has more than {reading.max_bytes} bytes (--max-bytes)")


def size_of(file: IO[bytes]) -> int:
    """Return the length of an opened file in bytes, and go back to its start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _open_regular(path: str) -> IO[bytes]:
    """Open a local file that is one; opening a pipe or a device must not wait for whoever writes to it."""
    descriptor = _descriptor(path)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise ReadingError(NOT_A_FILE, "neither a regular file nor a link to one")


def _descriptor(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device without a driver
            raise ReadingError(NOT_A_FILE, "neither a regular file nor a link to one") from None
        raise
