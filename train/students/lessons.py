"""What a student learns from: photographs on its grid, where the object is said to be, and features of a frozen backbone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ..batches.augmentation import vary_colors
from ..batches.samples import Batches, seed_of
from .feature_cache import Features

SMALLEST_SIDE = 0.6
"""Least part of a photograph's sides in a crop."""


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


def draw(lessons: Lessons, batches: Batches, augment: bool = False) -> Iterator[Drawn]:
    """Yield the batches of a course; half of them, by the seed of their first photograph, are mirrored.

    augment: also crop each photograph and change its colours by chance, which features of it cannot follow.
    """
    for batch in batches:
        numbers = np.array([number for number, _ in batch])
        mirrored = seed_of("mirror", batch[0][1]) % 2 == 1
        labels = torch.from_numpy(lessons.labels[numbers])[:, None]
        drawn = Drawn(inputs_of(lessons, numbers, mirrored), labels.flip(3) if mirrored else labels)
        yield _varied(drawn, [seed for _, seed in batch]) if augment else drawn


def inputs_of(lessons: Lessons, numbers: np.ndarray, mirrored: bool) -> list[Tensor]:
    """Return what the student looks at in some photographs, or in their mirror images; see `Drawn`."""
    if lessons.features:
        return lessons.features.of(numbers, mirrored)
    pixels = torch.from_numpy(lessons.pixels[numbers]).permute(0, 3, 1, 2).float()
    return [pixels.flip(3) if mirrored else pixels]


def _varied(drawn: Drawn, seeds: list[int]) -> Drawn:
    """Crop each image and its labels, and change its colours, as its seed says; sizes stay."""
    views = []
    for pixels, labels, seed in zip(drawn.inputs[0], drawn.labels, seeds, strict=True):
        random = np.random.default_rng(seed)
        side = random.uniform(SMALLEST_SIDE, 1)
        top, left = random.uniform(0, 1 - side, 2)
        views.append([_cropped(values, top, left, side) for values in (pixels, labels)])
    colors = Generator().manual_seed(seeds[0])
    pixels = vary_colors(torch.stack([view[0] for view in views]), colors)
    return Drawn([pixels], torch.stack([view[1] for view in views]))


def _cropped(values: Tensor, top: float, left: float, side: float) -> Tensor:
    """Cut a square out of values [C,S,S], its place and side in parts of theirs, and enlarge it to [C,S,S]."""
    size = values.shape[-1]
    first_row, first_column, length = int(top * size), int(left * size), max(round(side * size), 1)
    part = values[None, :, first_row : first_row + length, first_column : first_column + length]
    return nn.functional.interpolate(part, size=(size, size), mode="bilinear")[0]
