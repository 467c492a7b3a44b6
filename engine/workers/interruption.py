"""Stopping cleanly, and keeping two runs out of one folder."""

import errno
import fcntl
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from ...errors import ExitCode, UnseeError

LOCK_FILE = ".lock"
WORKERS_FILE = ".workers.lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""What file systems without locks answer."""
MOST_TRIES = 100


class BusyFolderError(UnseeError):
    """Another run holds the lock of a folder."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, the first interruption raises KeyboardInterrupt and the second ends the process at once.

    Interruptions are SIGINT, SIGTERM and, where nohup has not had it ignored, the SIGHUP of a terminal that is closed.
    """
    seen = 0

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        nonlocal seen
        seen += 1
        if seen > 1:
            os._exit(ExitCode.INTERRUPTED)  # every file under a final name is whole at any moment
        raise KeyboardInterrupt

    handled = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        handled.append(signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in handled]
    try:
        yield
    finally:
        if not seen:  # otherwise the process is on its way out, and a further signal still ends it at once
            for number, handler in zip(handled, before, strict=True):
                signal.signal(number, handler)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run directory, which is made if need be; the system lets go of it however the process ends.

    What is left of locks is removed when the block ends, and so are the folders made here that are still empty.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with _held(folder / LOCK_FILE, fcntl.LOCK_EX | fcntl.LOCK_NB) as mine:
            if not mine:
                message = f"another run is writing {folder}: wait for it, or use another output folder"
                raise BusyFolderError(message)
            try:
                yield
            finally:
                _remove_workers_file(folder)
                (folder / LOCK_FILE).unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # not empty any more
            for path in made:
                path.rmdir()


@contextmanager
def working(folder: Path) -> Iterator[None]:
    """Mark this process as one that writes shards, until the block or the process ends."""
    with _held(folder / WORKERS_FILE, fcntl.LOCK_SH):
        yield


def wait_for_workers(folder: Path) -> None:
    """Return when no process of an earlier run writes shards any more: a killed run's processes end a little after it."""
    with _held(folder / WORKERS_FILE, fcntl.LOCK_EX):
        (folder / WORKERS_FILE).unlink(missing_ok=True)


def _remove_workers_file(folder: Path) -> None:
    """Remove the mark of processes that write shards, unless one of them still does."""
    if (folder / WORKERS_FILE).exists():
        with _held(folder / WORKERS_FILE, fcntl.LOCK_EX | fcntl.LOCK_NB) as mine:
            if mine:
                (folder / WORKERS_FILE).unlink(missing_ok=True)


@contextmanager
def _held(path: Path, operation: int) -> Iterator[bool]:
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
