"""How large the measurements of a section are, and what a section is."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Found = Iterator[tuple[str, Any]]
"""Named figures, one after the other: those that come before a failure are kept."""


class NeedsGpuError(Exception):
    """A section has nothing to measure without a GPU."""


@dataclass(frozen=True)
class Scale:
    """Sizes on a GPU, or small ones that run to the end on any machine within a minute.

    device: cuda or cpu. batches: the first is the usual one. images: of the run from file to file. rounds: of a timed call.
    """

    device: str
    batches: tuple[int, ...]
    networks: tuple[str, ...]
    iterations: tuple[int, ...]
    images: int
    image_sides: tuple[int, int]
    rounds: int
    repeats: int

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU."""
        return self.device == "cuda"

    @classmethod
    def of(cls, device: str) -> "Scale":
        """Return the sizes for a device."""
        if device == "cuda":
            networks = ("vgg16", "squeezenet1_1", "efficientnet-lite0")
            return cls(device, (128, 32, 256), networks, (10, 1), 4000, (500, 375), rounds=3, repeats=20)
        return cls(device, (4,), ("unsee-small",), (2,), 16, (120, 90), rounds=1, repeats=2)


class Deadline:
    """The end of a section's time."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, below zero when it is over."""
        return self.end - time.monotonic()


Section = Callable[[Scale, Deadline], Found]


def need_gpu(scale: Scale) -> None:
    """Raise `NeedsGpuError` on a machine without one."""
    if not scale.on_gpu:
        raise NeedsGpuError("needs a GPU")
