"""Region Contrast (Cheng et al., CVPR 2011 and PAMI 2015), from its formulas (spec 5.2): a baseline for research.

The authors' README allows their code for education and research only; none of it is used here.
"""

from dataclasses import dataclass

import numpy as np

from ...kernels.blur import gaussian_blur
from ...kernels.color import rgb_to_lab
from ...kernels.felzenszwalb import felzenszwalb

LEVELS = 12
"""Colour bins a channel."""
COVERED = 0.95
FEWEST_COLORS, MOST_COLORS = 10, 256
SPREAD = 0.4
"""Width of the weight of distant regions, in squared image sides."""
CENTRE = 9.0
BORDER_SHARE = 0.02
BORDER_LIKELIHOOD = 0.4
NEAREST_SHARE = 0.1


@dataclass(frozen=True)
class Palette:
    """An image in few colours. indices: int [H,W]. lab: float [m,3]. counts: pixels of each colour, [m]."""

    indices: np.ndarray
    lab: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Regions:
    """A segmented image. labels: int [H,W]. sizes: pixels, [n]. outer: bool [n], regions that count as background."""

    labels: np.ndarray
    sizes: np.ndarray
    outer: np.ndarray

    def mean(self, saliency: np.ndarray) -> np.ndarray:
        """Return the mean of a map [H,W] over each region."""
        return np.bincount(self.labels.ravel(), saliency.ravel(), len(self.sizes)) / self.sizes


def region_contrast(images: np.ndarray) -> np.ndarray:
    """Return the region contrast of images, uint8 [B,H,W,3] -> float32 [B,H,W] in 0..1."""
    segmented = felzenszwalb(rgb_to_lab(images))
    maps = [_one(image, labels) for image, labels in zip(images, segmented, strict=True)]
    return np.stack(maps) if maps else np.zeros(images.shape[:3], np.float32)


def _one(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    palette = quantized(image)
    if len(palette.counts) <= 2:
        return (palette.indices == 1).astype(np.float32)
    regions = Regions(labels, np.bincount(labels.ravel()), outer_regions(labels))
    saliency = scaled(contrast_of_regions(regions, palette))[labels]
    saliency = smoothed_by_color(_without_border(saliency, regions), palette)
    saliency = scaled(regions.mean(saliency))[labels]
    saliency = _without_border(saliency, regions).astype(np.float32)
    return gaussian_blur(saliency[None], 0.8, 1)[0]


def quantized(image: np.ndarray) -> Palette:
    """Return an image, uint8 [H,W,3], in its most frequent colours: 12 levels a channel, those that cover 95 %.

    Rarer colours become the nearest frequent one. A colour's value is the mean of its pixels.
    """
    bins = (image.reshape(-1, 3).astype(np.float64) / 255 * (LEVELS - 1e-4)).astype(np.int64)
    names, places, counts = np.unique(bins @ [LEVELS**2, LEVELS, 1], return_inverse=True, return_counts=True)
    order = np.lexsort((-names, -counts))
    kept = order[: _colors_kept(counts[order])]
    levels = np.stack([names // LEVELS**2, names // LEVELS % LEVELS, names % LEVELS], axis=1)
    nearest = ((levels[:, None] - levels[kept][None]) ** 2).sum(-1).argmin(1)
    nearest[kept] = np.arange(len(kept))
    indices = nearest[places.ravel()]
    members = np.bincount(indices, minlength=len(kept))
    sums = [np.bincount(indices, channel, len(kept)) for channel in image.reshape(-1, 3).T]
    mean = np.rint(np.stack(sums, axis=1) / members[:, None]).astype(np.uint8)
    return Palette(indices.reshape(image.shape[:2]), rgb_to_lab(mean[None, None])[0, 0].astype(np.float64), members)


def _colors_kept(counts: np.ndarray) -> int:
    """Number of colours that cover enough, of those in falling order of frequency."""
    enough = int(np.searchsorted(np.cumsum(counts), COVERED * counts.sum()) + 1)
    return min(max(enough, FEWEST_COLORS), MOST_COLORS, len(counts))


def contrast_of_regions(regions: Regions, palette: Palette) -> np.ndarray:
    """Return the contrast of each region with all others, [n]: large, near ones of other colours count most."""
    count, colors = len(regions.sizes), len(palette.counts)
    shares = np.bincount(regions.labels.ravel() * colors + palette.indices.ravel(), minlength=count * colors)
    shares = shares.reshape(count, colors) / regions.sizes[:, None]
    contrast = shares @ _distances(palette.lab) @ shares.T
    np.fill_diagonal(contrast, 0)
    centers, offsets = _places(regions)
    near = np.exp(-((centers[:, None] - centers[None]) ** 2).sum(-1) / SPREAD)
    return np.exp(-CENTRE * (offsets**2).sum(1)) * ((near * contrast) @ regions.sizes)


def _places(regions: Regions) -> tuple[np.ndarray, np.ndarray]:
    """Mean place and mean distance from the image's centre along x and y of each region, in image sides, [n,2] each."""
    height, width = regions.labels.shape
    rows, columns = np.mgrid[:height, :width]
    centers = np.stack([regions.mean(columns) / width, regions.mean(rows) / height], axis=1)
    offsets = regions.mean(abs(columns - width / 2)) / width, regions.mean(abs(rows - height / 2)) / height
    return centers, np.stack(offsets, axis=1)


def outer_regions(labels: np.ndarray) -> np.ndarray:
    """Tell which regions lie along the image's border: much of their extent is in its outermost 2 %; bool [n]."""
    height, width = labels.shape
    gap_x, gap_y = max(round(BORDER_SHARE * width), 1), max(round(BORDER_SHARE * height), 1)
    count = int(labels.max()) + 1
    regions = Regions(labels, np.bincount(labels.ravel()), np.zeros(count, bool))
    rows, columns = np.mgrid[:height, :width]
    spread_x = regions.mean(abs(columns - regions.mean(columns)[labels]))
    spread_y = regions.mean(abs(rows - regions.mean(rows)[labels]))
    in_rows = _counted(count, labels[:gap_y], labels[-gap_y:])
    in_columns = _counted(count, labels[:, :gap_x], labels[:, -gap_x:])
    with np.errstate(divide="ignore", invalid="ignore"):  # a region one pixel thin has no extent
        likelihood = in_rows / (4 * gap_y) / spread_x + in_columns / (4 * gap_x) / spread_y
    return np.nan_to_num(likelihood) > BORDER_LIKELIHOOD


def _counted(count: int, *strips: np.ndarray) -> np.ndarray:
    return np.bincount(np.concatenate([strip.ravel() for strip in strips]), minlength=count)


def _without_border(saliency: np.ndarray, regions: Regions) -> np.ndarray:
    """Return the map with zeros in the outer regions and in the outermost pixels."""
    height, width = saliency.shape
    gap_x, gap_y = max(round(BORDER_SHARE * width), 1), max(round(BORDER_SHARE * height), 1)
    kept = np.zeros_like(saliency)
    inner = np.s_[gap_y : height - gap_y, gap_x : width - gap_x]
    kept[inner] = np.where(regions.outer[regions.labels], 0, saliency)[inner]
    return kept


def smoothed_by_color(saliency: np.ndarray, palette: Palette) -> np.ndarray:
    """Return a map in which each colour has one value: its mean, smoothed over the nearest tenth of the colours."""
    counts = palette.counts
    values = scaled(np.bincount(palette.indices.ravel(), saliency.ravel(), len(counts)) / counts)
    distances = _distances(palette.lab)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : max(round(NEAREST_SHARE * len(counts)), 2)]
    near = np.take_along_axis(distances, nearest, 1)
    total = near.sum(1)
    weights = (total[:, None] - near) * counts[nearest]
    smooth = (values[nearest] * weights).sum(1) / np.maximum(total * counts[nearest].sum(1), 1e-12)
    return scaled(np.where(total > 0, smooth, values))[palette.indices]


def _distances(points: np.ndarray) -> np.ndarray:
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))


def scaled(values: np.ndarray) -> np.ndarray:
    """Return values scaled from their minimum and maximum to 0..1; zeros where they are all the same."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros(values.shape)
