"""Images in strips: what is made of a whole image at once would take several times its room."""

STRIP = 2**20
"""Pixels that are converted, or resized, together."""


def strips(size: tuple[int, int], upright: bool) -> list[tuple[int, int, int, int]]:
    """Return boxes of at most `STRIP` pixels that make up an image: of whole columns where upright, else of whole rows."""
    width, height = size
    across, along = (height, width) if upright else (width, height)
    step = max(1, STRIP // across)
    spans = [(first, min(first + step, along)) for first in range(0, along, step)]
    return [(first, 0, end, height) if upright else (0, first, width, end) for first, end in spans]
