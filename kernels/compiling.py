"""Saying that kernels are being compiled, before the wait and only where they are not in the cache."""

import logging
from functools import cache
from typing import Any

from numba.core import event

PACKAGE = __name__.split(".")[0]


class _Announcer(event.Listener):
    """Logs the first compilation of a kernel of ours."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: Any) -> None:
        """Say it once, whether or not the next run is spared the wait."""
        dispatcher = event.data["dispatcher"]
        if self.said or dispatcher.py_func.__module__.split(".")[0] != PACKAGE:
            return
        self.said = True
        logging.getLogger(PACKAGE).info(message(dispatcher.stats.cache_path))

    def on_end(self, event: Any) -> None:
        """Nothing to say."""


def message(cache_path: str | None) -> str:
    """Return what is said of a kernel that is compiled; cache_path: where it is kept, None where nothing can be."""
    if cache_path is None:
        return (
            "compiling kernels, as in every run: no folder for them can be written "
            "(set NUMBA_CACHE_DIR to one that can be)"
        )
    return "compiling kernels (once)"


@cache
def announce_compiling() -> None:
    """From now on, log when kernels are compiled."""
    event.register("numba:compile", _Announcer())
