"""Lists that come through a pipe: kept in a temporary file, since planning may read a list more than once."""

import os
import re
import select
import shutil
import stat
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO

from ...errors import UnseeError

STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
HANDED_OVER = re.compile(r"/dev/fd/\d+|/proc/self/fd/\d+")
"""What a shell makes of `<(command)`."""

PATIENCE = 60.0
"""Seconds in which somebody must begin to write into a named pipe."""

LARGEST = 8 << 30


class Spool:
    """Keeps what came through pipes until the process ends; a copy in another process begins with nothing."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def __getstate__(self) -> dict[str, object]:
        return {"_files": {}}

    def file(self, source: str) -> str:
        """Return the path of a file with all that came through a pipe."""
        if source not in self._files:
            self._files[source] = self._kept(source)
        return self._files[source]

    def _kept(self, source: str) -> str:
        folder = tempfile.mkdtemp(prefix="unsee-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / "list"
        with _opened(source) as pipe, path.open("wb") as file:
            while chunk := pipe.read(1 << 20):
                file.write(chunk)
                if file.tell() > LARGEST:
                    raise UnseeError(f"{source}: more than {LARGEST} bytes came through the pipe: write a file first")
        return str(path)


def is_pipe(source: str) -> bool:
    """Tell whether a source is standard input, what a shell hands over, or a named pipe."""
    if source in STANDARD_INPUT or HANDED_OVER.fullmatch(source):
        return True
    try:
        return stat.S_ISFIFO(os.stat(source).st_mode)  # noqa: PTH116 - names are not to be normalised
    except (OSError, ValueError):
        return False


def is_handed_over(source: str) -> bool:
    """Tell a pipe that this command was given from one that has a name in a folder, into which nobody may write."""
    return source in STANDARD_INPUT or HANDED_OVER.fullmatch(source) is not None


def pipe_name(source: str, place: int) -> str:
    """Return the name of a pipe in rows, which is the same whenever the same command runs."""
    if source in STANDARD_INPUT:
        return "stdin"
    return f"pipe{place}" if is_handed_over(source) else source


def _opened(source: str) -> IO[bytes]:
    if source in STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise UnseeError(f"{source}: standard input is a terminal: pipe a list of paths into the command")
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    if is_handed_over(source):
        return Path(source).open("rb")
    return _named(source)


def _named(source: str) -> IO[bytes]:
    """Open a named pipe once somebody writes into it."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN | select.POLLHUP)
    if not waiting.poll(PATIENCE * 1000):
        os.close(descriptor)
        raise UnseeError(f"{source}: nobody wrote into this pipe for {PATIENCE:g} seconds")
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")
