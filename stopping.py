"""Stopping where work can go on later, and not in the middle of a step."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import ExitCode


def interruptions() -> list[signal.Signals]:
    """Return SIGINT, SIGTERM and, where nohup has not had it ignored, the SIGHUP of a terminal that is closed."""
    closed = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    return [signal.SIGINT, signal.SIGTERM, *closed]


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Within the block, the first interruption is only noted, and the second ends the process at once.

    Yields what tells whether there was one. Outside of the main thread `interruptions` are left to others.
    """
    seen = 0

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        nonlocal seen
        seen += 1
        if seen > 1:
            os._exit(ExitCode.INTERRUPTED)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    handled = interruptions()
    before = [signal.signal(number, note) for number in handled]
    try:
        yield lambda: seen > 0
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)


def left_to_the_parent(*_: object) -> None:
    """Have a process that helps another one end with it, and not by the interruptions that both are sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
