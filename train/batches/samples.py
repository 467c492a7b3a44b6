"""Batches for classifier training: which sample comes when, how it is masked and augmented. All chance follows from seeds.

Sample 2i is image i as it is, sample 2i + 1 is image i with its objects masked; a variant takes the ones, the others, or
both, and gives masked class l the node N + l where it has both (paper A, section 3.1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ...errors import UnseeError
from ...files import digest_of
from ...stopping import left_to_the_parent
from ..data.datasets import Dataset, label_of, read_for_training
from ..data.masking import masked_pixels
from ..networks.metadata import InputSpec
from .classifier_config import ClassifierConfig, Variant

SMALLEST_CROP = 0.5
"""Least part of an image's area in a training crop; part of the crops is the whole image."""
WHOLE = 0.3

Sample = TypeVar("Sample")

Batches = list[list[tuple[int, int]]]
"""For each step the samples, each with the seed of its augmentation; a seed of -1 means none."""


@dataclass(frozen=True)
class SampleReader(TorchDataset[tuple[Tensor, Tensor]]):
    """Reads samples of a data set for one variant: pixels uint8 [3,S,S] and node."""

    dataset: Dataset
    config: ClassifierConfig
    spec: InputSpec

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, Tensor]:
        sample, seed = place
        item = self.dataset.items[sample // 2]
        scene, masked = read_for_training(item), sample % 2 == 1
        pixels = masked_pixels(scene, self.config.fill, self.spec) if masked else scene.pixels
        grid = resized(pixels, self.spec.size, None if seed < 0 else np.random.default_rng(seed))
        node = label_of(item, scene) + (len(self.dataset.classes) if masked and self.config.variant == "cnn3" else 0)
        return torch.from_numpy(grid.transpose(2, 0, 1).copy()), torch.tensor(node)


def resized(pixels: np.ndarray, size: int, random: np.random.Generator | None) -> np.ndarray:
    """Resize an image, uint8 [H,W,3], to [size,size,3] (bilinear); a generator crops and mirrors it by chance."""
    image = Image.fromarray(pixels)
    box = None
    if random is not None:
        if random.random() > WHOLE:
            box = _some_box(random, image.width, image.height)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _some_box(random: np.random.Generator, width: int, height: int) -> tuple[float, float, float, float]:
    share = np.sqrt(random.uniform(SMALLEST_CROP, 1))
    left, top = random.uniform(0, 1 - share, 2)
    return left * width, top * height, (left + share) * width, (top + share) * height


def sample_numbers(images: int, variant: Variant) -> Tensor:
    """Return the samples that a variant sees."""
    numbers = torch.arange(2 * images)
    return numbers if variant == "cnn3" else numbers[(1 if variant == "cnn2" else 0) :: 2]


def training_batches(images: int, config: ClassifierConfig, epoch: int) -> Batches:
    """Return the batches of an epoch: every sample once, in an order that follows from seed and epoch."""
    batches = shuffled_batches(sample_numbers(images, config.variant), config.batch, config.seed, epoch)
    return batches if config.augment else [[(number, -1) for number, _ in batch] for batch in batches]


def shuffled_batches(numbers: Tensor, batch: int, seed: int, epoch: int) -> Batches:
    """Return the numbers in an order that follows from seed and epoch, in batches, with the seeds of their augmentation."""
    order = Generator().manual_seed(seed_of(seed, "order", epoch))
    shuffled = numbers[torch.randperm(len(numbers), generator=order)]
    return [[(number, seed_of(seed, epoch, number)) for number in part.tolist()] for part in shuffled.split(batch)]


def examination_batches(images: int, config: ClassifierConfig) -> Batches:
    """Return all samples in order, without augmentation."""
    return [
        [(number, -1) for number in part.tolist()]
        for part in sample_numbers(images, config.variant).split(config.batch)
    ]


def seed_of(*parts: int | str) -> int:
    """Return a seed that follows from several numbers and names."""
    return int(digest_of(parts), 16) % 2**63


def load(reader: TorchDataset[Sample], batches: Sequence[list[tuple[int, int]]], workers: int) -> Iterator[Sample]:
    """Yield each batch in order, the tensors of its samples stacked, read by `workers` processes."""
    loader: DataLoader[Sample] = DataLoader(
        reader,
        batch_sampler=batches,  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        worker_init_fn=left_to_the_parent,
    )
    try:
        yield from loader
    except UnseeError as error:  # before what a process that reads had to say PyTorch puts the way to it
        told = str(error).strip().splitlines()[-1]
        raise UnseeError(told.removeprefix(f"{UnseeError.__module__}.{UnseeError.__name__}: ")) from None
