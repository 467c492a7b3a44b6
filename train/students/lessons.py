"""What a student learns from: photographs on its grid, where the object is said to be, and features of a frozen backbone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..batches.samples import Batches, seed_of
from .feature_cache import Features


@dataclass(frozen=True)
class Lessons:
    """P photographs at the student's size, and what is said of them.

    pixels: uint8 [P,S,S,3], memory-mapped. labels: float32 [P,S/4,S/4] in 0..1, where the object is; what is near 0.5 weighs
    little. known: bool [P], whether the labels are a mask, which stays as it is. features: None where the backbone runs in
    every step.
    """

    pixels: np.ndarray
    labels: np.ndarray
    known: np.ndarray
    features: Features | None = None

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Drawn:
    """A batch. inputs: feature maps [B,C,H,W], finest first, or pixels [B,3,S,S] alone. labels: [B,1,S/4,S/4] in 0..1."""

    inputs: list[Tensor]
    labels: Tensor


def draw(lessons: Lessons, batches: Batches) -> Iterator[Drawn]:
    """Yield the batches of a course; half of them, by the seed of their first photograph, are mirrored."""
    for batch in batches:
        numbers = np.array([number for number, _ in batch])
        mirrored = seed_of("mirror", batch[0][1]) % 2 == 1
        labels = torch.from_numpy(lessons.labels[numbers])[:, None]
        yield Drawn(inputs_of(lessons, numbers, mirrored), labels.flip(3) if mirrored else labels)


def inputs_of(lessons: Lessons, numbers: np.ndarray, mirrored: bool) -> list[Tensor]:
    """Return what the student looks at in some photographs, or in their mirror images; see `Drawn`."""
    if lessons.features:
        return lessons.features.of(numbers, mirrored)
    pixels = torch.from_numpy(lessons.pixels[numbers]).permute(0, 3, 1, 2).float()
    return [pixels.flip(3) if mirrored else pixels]
