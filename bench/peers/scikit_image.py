"""Superpixels and clean-up as users would write them without these kernels: scikit-image and numpy, an image at a time."""

from types import ModuleType

import numpy as np

from ...extras import require


def segmentation_peer() -> ModuleType:
    """scikit-image's segmentation module."""
    return require("skimage.segmentation", "peers", "comparing with scikit-image")


def superpixels(image: np.ndarray, segments: int, compactness: float) -> np.ndarray:
    """scikit-image's SLIC: uint8 [H, W, 3] -> int [H, W]."""
    return segmentation_peer().slic(image, n_segments=segments, compactness=compactness, start_label=0)


def finished_map(image: np.ndarray, saliency: np.ndarray, segments: int, compactness: float) -> np.ndarray:
    """Superpixel means weighed by the low-level map (spec 2.3, 2.4, 2.7), alpha 0.2."""
    lab = require("skimage.color", "peers", "comparing with scikit-image").rgb2lab(image)
    labels = superpixels(image, segments, compactness)
    sizes = np.bincount(labels.ravel())
    rows, columns = np.indices(labels.shape)
    position = np.stack(
        [_means(columns, labels, sizes) / labels.shape[1], _means(rows, labels, sizes) / labels.shape[0]], axis=1
    )
    color = np.stack([_means(lab[..., channel], labels, sizes) for channel in range(3)], axis=1)
    weight = 0.2 + low_level_values(color, position)
    return (_means(saliency, labels, sizes) * weight)[labels]


def background_map(
    image: np.ndarray, saliency: np.ndarray, segments: int, compactness: float, floor: float
) -> np.ndarray:
    """Superpixel means held against the background (spec 5.9), with scipy's shortest paths and solver; 0 to 1."""
    distance = require("scipy.spatial.distance", "peers", "the plain script")
    graphs = require("scipy.sparse.csgraph", "peers", "the plain script")
    algebra = require("scipy.linalg", "peers", "the plain script")
    lab = require("skimage.color", "peers", "the plain script").rgb2lab(image)
    labels = superpixels(image, segments, compactness)
    sizes = np.bincount(labels.ravel())
    color = np.stack([_means(lab[..., channel], labels, sizes) for channel in range(3)], axis=1)
    foreground = _min_max(_means(saliency, labels, sizes))
    touching = np.zeros((len(sizes), len(sizes)), bool)
    for one, other in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        touching[one, other] = touching[other, one] = True
    np.fill_diagonal(touching, False)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    around = np.zeros_like(touching)
    around[np.ix_(border, border)] = True
    distances = distance.cdist(color, color)
    usual = (distances + np.diag(np.full(len(sizes), np.inf))).min(1).mean()
    lengths = np.where(touching | around, np.maximum(distances - usual, 1e-9), 0)
    similar = np.exp(-(graphs.shortest_path(lengths, directed=False) ** 2) / 98)
    background = 1 - np.exp(-(similar[:, border].sum(1) ** 2) / similar.sum(1) / 2)
    linked = touching | ((touching.astype(np.float32) @ touching) > 0) | around
    weights = np.where(linked, np.exp(-(distances**2) / 200) + floor, 0)
    np.fill_diagonal(weights, 0)
    system = np.diag(weights.sum(1) + foreground + background + 1e-6) - weights
    return _min_max(algebra.solve(system, foreground, assume_a="pos"))[labels]


def low_level_values(color: np.ndarray, position: np.ndarray) -> np.ndarray:
    """S_L of each superpixel (spec 2.7) from mean colours [n, 3] and places [n, 2]."""
    distances = np.linalg.norm(color[:, None] - color[None], axis=-1)
    contrast = _min_max(distances.sum(1))
    members = max(round(len(color) / 4), 2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :members]
    near = np.take_along_axis(distances, nearest, axis=1)
    total = near.sum(1, keepdims=True)
    smoothed = ((total - near) * contrast[nearest]).sum(1) / np.maximum((members - 1) * total[:, 0], 1e-12)
    weights = np.exp(-(distances**2) / 800)
    weights /= weights.sum(1, keepdims=True)
    spread = (weights * ((position[None] - (weights @ position)[:, None]) ** 2).sum(-1)).sum(1)
    return _min_max(_min_max(smoothed) * np.exp(-6 * _min_max(spread)))


def _means(values: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return np.bincount(labels.ravel(), values.ravel()) / sizes


def _min_max(values: np.ndarray) -> np.ndarray:
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
