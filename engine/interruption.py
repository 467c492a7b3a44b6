"""Stopping cleanly, and keeping two runs out of one folder."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..errors import ExitCode, UnseeError

LOCK_FILE = ".lock"
WORKERS_FILE = ".workers.lock"


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, the first SIGINT or SIGTERM raises KeyboardInterrupt and the second ends the process at once."""
    seen = 0

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        nonlocal seen
        seen += 1
        if seen > 1:
            os._exit(ExitCode.INTERRUPTED)  # every file under a final name is whole at any moment
        raise KeyboardInterrupt

    handled = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupt) for number in handled]
    try:
        yield
    finally:
        if not seen:  # otherwise the process is on its way out, and a further signal still ends it at once
            for number, handler in zip(handled, before, strict=True):
                signal.signal(number, handler)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run directory; the system lets go of it however the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnseeError(f"another run is writing {folder}: wait for it, or use another output folder") from None
        yield


@contextmanager
def working(folder: Path) -> Iterator[None]:
    """Mark this process as one that writes shards, until the block or the process ends."""
    with (folder / WORKERS_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def wait_for_workers(folder: Path) -> None:
    """Return when no process of an earlier run writes shards any more: a killed run's processes end a little after it."""
    with (folder / WORKERS_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
