"""The consoles that commands print on: text is taken as it is, never as markup, and cannot steer the terminal."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from .names import shown


class PlainConsole(Console):
    """A console for text that holds names from outside: no markup, no folding, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False, "emoji": False, "soft_wrap": True, **options})

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does; strings are made harmless first."""
        super().print(*(shown(item) if isinstance(item, str) else item for item in objects), **options)


class _MessageConsole(PlainConsole):
    """A console whose reader may go away: that nobody reads the messages any more ends no work."""

    def on_broken_pipe(self) -> None:
        """Say nothing from here on, nor let anything else in this process fail to."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)


def stdout() -> PlainConsole:
    """Return the console of a command's results."""
    return PlainConsole()


def stderr() -> PlainConsole:
    """Return the console of messages and progress."""
    return _MessageConsole(stderr=True)


def counted(count: int, noun: str) -> str:
    """Return a number and a noun that forms its plural with an s: `1 image`, `2 images`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class _StderrHandler(logging.Handler):
    """Prints messages as they are; above a progress bar, where one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        stderr().print(record.getMessage())


@contextmanager
def quieted(name: str | None = None) -> Iterator[None]:
    """Have a logger, the root where None, say nothing below errors within the block."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def show_log() -> None:
    """Let a command show what the package logs, from the level INFO on."""
    logger = logging.getLogger(__package__)
    logger.setLevel(logging.INFO)
    logger.addHandler(_StderrHandler())
    logger.propagate = False
