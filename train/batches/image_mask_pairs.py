"""Samples of images and masks: crops, mirror images, and the uncertain regions that a promoter is trained with."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import Dataset as TorchDataset

from ...errors import UnseeError
from ...formats import image_files
from ...images import open_image
from ..data.catalogue import open_dataset
from ..data.datasets import Dataset, read_for_training
from .augmentation import vary_colors
from .map_training_config import MapTrainingConfig

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pair:
    """One sample at its network's size. pixels: uint8 [H,W,3]. salient: bool [H,W]. prior: uint8 [H,W] or None."""

    pixels: np.ndarray
    salient: np.ndarray
    prior: np.ndarray | None = None


@dataclass(frozen=True)
class PairReader(TorchDataset[tuple[Tensor, Tensor, Tensor]]):
    """Reads samples: pixels uint8 [3,S,S], labels uint8 [1,S,S] of 0 and 1, and the weight of the salient region, uint8
    [1,S,S] of 0 to 255: the labels with some flipped, or a prior map."""

    dataset: Dataset
    config: MapTrainingConfig
    priors: dict[str, list[Path]]

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        number, seed = place
        training = seed >= 0
        random = np.random.default_rng(seed if training else number)
        item = self.dataset.items[number]
        scene = read_for_training(item)
        prior = self._prior(item.key, random, training)
        pair = Pair(scene.pixels, scene.objects >= 0, prior)
        pair = resized(pair, self.config.side, *_view(random, self.config, training))
        pixels = torch.from_numpy(pair.pixels.transpose(2, 0, 1).copy())
        if training and self.config.vary_colors:
            chance = Generator().manual_seed(int(random.integers(2**62)))
            pixels = vary_colors(pixels[None].float(), chance)[0].round().byte()
        flipped = pair.salient ^ (random.random(pair.salient.shape) < self.config.flip)
        weight = flipped * np.uint8(255) if pair.prior is None else pair.prior
        return pixels, torch.from_numpy(pair.salient[None].astype(np.uint8)), torch.from_numpy(weight[None].copy())

    def _prior(self, key: str, random: np.random.Generator, training: bool) -> np.ndarray | None:
        if training and random.random() >= self.config.prior_share:
            return None
        paths = self.priors.get(key)
        if not paths:
            return None
        with open_image(paths[random.integers(len(paths)) if training else 0]) as image:
            return np.asarray(image.convert("L"))


def open_pairs(name: str | tuple[str, ...], config: MapTrainingConfig) -> PairReader:
    """Open the samples of one data set or of several together, with their priors.

    Raises `UnseeError` on data that is missing, and on images without a prior where folders of priors are given.
    """
    names = (name,) if isinstance(name, str) else name
    sets = [open_dataset(part) for part in names]
    lacking = [missing for data in sets for missing in data.missing]
    items = [item for data in sets for item in data.items]
    if lacking or not items:
        example = f", such as the {lacking[0]}" if lacking else ""
        raise UnseeError(f"{', '.join(names)}: {len(lacking)} files are missing{example}; {len(items)} pairs are there")
    dataset = replace(sets[0], name=" + ".join(data.name for data in sets), items=tuple(items))
    priors = _priors(config.priors)
    without = [item.key for item in items if config.priors and len(priors.get(item.key, ())) < len(config.priors)]
    if without:
        raise UnseeError(f"{dataset.name}: {len(without)} images lack a prior map, such as {without[0]}")
    return PairReader(dataset, config, priors)


def resized(pair: Pair, size: int, box: Box | None, mirrored: bool) -> Pair:
    """Cut `box` (left, top, right, bottom in parts of the image) out and resize it to [size,size], bilinear for pixels and
    prior, nearest for labels (spec 3.7)."""

    def view(values: np.ndarray, resampling: Image.Resampling) -> np.ndarray:
        image = Image.fromarray(values)
        scale = (image.width, image.height) * 2
        pixels_box = None if box is None else tuple(part * side for part, side in zip(box, scale, strict=True))
        grid = np.asarray(image.resize((size, size), resampling, box=pixels_box))  # pyright: ignore[reportArgumentType]
        return grid[:, ::-1] if mirrored else grid

    salient = view(pair.salient.astype(np.uint8), Image.Resampling.NEAREST) > 0
    prior = None if pair.prior is None else view(pair.prior, Image.Resampling.BILINEAR)
    return Pair(view(pair.pixels, Image.Resampling.BILINEAR), salient, prior)


def _view(random: np.random.Generator, config: MapTrainingConfig, training: bool) -> tuple[Box | None, bool]:
    """Return the box of a crop and whether to mirror it; the whole image where nothing is augmented."""
    if not training or not config.augment:
        return None, False
    share = random.uniform(config.smallest_crop, config.largest_crop)
    left, top = random.uniform(0, 1 - share, 2)
    return (left, top, left + share, top + share), bool(random.random() < 0.5)


def _priors(folders: tuple[Path, ...]) -> dict[str, list[Path]]:
    """Return the maps of all folders by name without suffix."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UnseeError(f"{folder}: no such folder of prior maps")
        for path in image_files(folder):
            found.setdefault(path.stem, []).append(path)
    return found
