"""Stopping cleanly, and keeping two runs out of one folder."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ...errors import ExitCode, UnseeError
from ...files import removed_if_empty
from ...locks import alone, held
from ...stopping import interruptions

LOCK_FILE = ".lock"
WORKERS_FILE = ".workers.lock"


class BusyFolderError(UnseeError):
    """Another run holds the lock of a folder."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, the first interruption raises KeyboardInterrupt and the second ends the process at once.

    See `interruptions`.
    """
    seen = 0

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        nonlocal seen
        seen += 1
        if seen > 1:
            os._exit(ExitCode.INTERRUPTED)  # every file under a final name is whole at any moment
        raise KeyboardInterrupt

    handled = interruptions()
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
    busy = BusyFolderError(f"another run is writing {folder}: wait for it, or use another output folder")
    with removed_if_empty(folder), alone(folder / LOCK_FILE, busy):
        try:
            yield
        finally:
            _remove_workers_file(folder)
            (folder / LOCK_FILE).unlink(missing_ok=True)


@contextmanager
def working(folder: Path) -> Iterator[None]:
    """Mark this process as one that writes shards, until the block or the process ends."""
    with held(folder / WORKERS_FILE, fcntl.LOCK_SH):
        yield


def wait_for_workers(folder: Path) -> None:
    """Return when no process of an earlier run writes shards any more: a killed run's processes end a little after it."""
    with held(folder / WORKERS_FILE, fcntl.LOCK_EX):
        (folder / WORKERS_FILE).unlink(missing_ok=True)


def _remove_workers_file(folder: Path) -> None:
    """Remove the mark of processes that write shards, unless one of them still does."""
    if (folder / WORKERS_FILE).exists():
        with held(folder / WORKERS_FILE, fcntl.LOCK_EX | fcntl.LOCK_NB) as mine:
            if mine:
                (folder / WORKERS_FILE).unlink(missing_ok=True)
