"""Locks on files, which the system lets go of however their holder ends."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import UnseeError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""What file systems without locks answer."""
MOST_TRIES = 100


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Keep other processes out of the block; lock: an empty file that stays. Raises `OSError` where it cannot be opened."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(path: Path, busy: UnseeError) -> Iterator[None]:
    """Hold a lock on a file, which is made if need be, for the block; raise `busy` where another process does."""
    with held(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as mine:
        if not mine:
            raise busy
        yield


@contextmanager
def held(path: Path, operation: int) -> Iterator[bool]:
    """Hold a lock on a file, which is made if need be; False where another process holds it and the operation won't wait.

    A file that its holder removed meanwhile is no lock any more: the one that now bears the name is taken.
    """
    while True:
        with _opened(path) as file:
            try:
                _flock(file.fileno(), operation, path)
            except BlockingIOError:
                yield False
                return
            if _still_bears(path, file.fileno()):
                yield True
                return


def _opened(path: Path) -> IO[str]:
    """Open a file for writing and make its folder, which another process that made it may remove meanwhile."""
    for _ in range(MOST_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a")


def _flock(descriptor: int, operation: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        message = "%s cannot be locked (%s): see to it that no two runs write into one folder"
        logging.getLogger("unsee").warning(message, path, error.strerror)


def _still_bears(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
