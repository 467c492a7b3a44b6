"""How many pixels may be in memory at once, however many threads decode."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

LARGE = 2**24
"""Pixels of an image whose memory is worth returning to the system."""


class PixelBudget:
    """Bounds the pixels in flight; an image larger than the whole budget waits until it is alone."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self._in_flight = 0
        self._changed = Condition()

    @contextmanager
    def held(self, pixels: int) -> Iterator[None]:
        """Wait until an image of so many pixels fits beside those in flight, and count it among them for the block."""
        wanted = min(pixels, self.pixels)
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight + wanted <= self.pixels)
            self._in_flight += wanted
        try:
            yield
        finally:
            if pixels >= LARGE:
                _return_memory()
            with self._changed:
                self._in_flight -= wanted
                self._changed.notify_all()


def _return_memory() -> None:
    """Return freed memory to the system: the C library would keep it, for each thread that decodes apart."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # only glibc has it, and only glibc needs it
        trim(0)
