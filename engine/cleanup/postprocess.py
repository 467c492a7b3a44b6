"""From the descended difference to the finished map, on the network's grid (spec sections 2.2, 2.5, 5.9)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...export.runtime.descender import Descent
from ...kernels.background import background_weight, optimum
from ...kernels.change import raw_maps
from ...kernels.color import rgb_to_lab
from ...kernels.contrast import low_level_map
from ...kernels.eight_bits import to_levels
from ...kernels.morphology import dilate, erode
from ...kernels.pooling import (
    paint,
    rescaled,
    room_for_labels,
    single_row,
    superpixel_statistics,
    superpixel_values,
    weighed,
)
from ...kernels.prune import brighten, min_max, normalize, prune_hard, prune_share, sigmoid
from ...kernels.region_graph import RegionGraph
from ...kernels.slic import slic_lab
from .presets import PostConfig


@dataclass(frozen=True)
class Maps:
    """The map after each stage, float32 [B,H,W], in memory or on a CUDA device as what it was made from.

    magnitude: float32 [B], the largest change of a pixel in grey levels (mean over channels). diverged: bool [B], the
    difference was not finite; its maps are zero. smoothing: makes the map of superpixels' means when it is asked for.
    """

    raw: np.ndarray
    pruned: np.ndarray
    smoothing: Callable[[], np.ndarray]
    final: np.ndarray
    magnitude: np.ndarray
    diverged: np.ndarray

    @property
    def smoothed(self) -> np.ndarray:
        """The map of the superpixels' means (B4), scaled."""
        return self.smoothing()


@dataclass(frozen=True)
class Finished:
    """What a batch's descents come to.

    levels: uint8 [B,S,S], the final maps. magnitude, diverged: see `Maps`. logits, targets: see `Descent`. raw: float32
    [B,S,S], see `Maps`, None where it was not asked for.
    """

    levels: np.ndarray
    magnitude: np.ndarray
    diverged: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    raw: np.ndarray | None = None

    @classmethod
    def of(cls, maps: Maps, descent: Descent) -> "Finished":
        """Return what maps in memory and their descent come to."""
        levels = to_levels(maps.final)
        return cls(levels, maps.magnitude, maps.diverged, descent.logits, descent.targets, maps.raw)


def finish(delta: np.ndarray, images: np.ndarray, config: PostConfig) -> Maps:
    """Turn differences [B,3,H,W] (grey levels) and images (uint8 [B,H,W,3]) into maps, each image on its own.

    raw: mean over channels, scaled. pruned: small values removed. smoothed: superpixel means (B4). final: weighed by
    the low-level map (B6) or held against the background (spec 5.9), pruned and scaled again, dilated and eroded. A
    zero difference gives zero maps. Arrays that lie on a CUDA device, differences float32, give maps on the device.
    """
    raw, magnitude, diverged = raw_maps(delta, config.channel_normalization)
    pruned = _pruned(raw, config)
    if not config.segments:
        return Maps(raw, pruned, lambda: pruned, closed(_last(pruned, config), config), magnitude, diverged)
    smoothing, final = _on_superpixels(pruned, images, config)
    return Maps(raw, pruned, smoothing, closed(final, config), magnitude, diverged)


def _on_superpixels(
    pruned: np.ndarray, images: np.ndarray, config: PostConfig
) -> tuple[Callable[[], np.ndarray], np.ndarray]:
    """Return what makes the smoothed maps, and the final ones."""
    lab = rgb_to_lab(images)
    labels = slic_lab(lab, config.segments, config.compactness, config.smallest_superpixel)
    count = room_for_labels(labels)
    values = superpixel_values(pruned, labels, count)

    def smoothed() -> np.ndarray:
        return normalize(paint(values, labels, count), config.normalization)

    if config.background:
        regions = RegionGraph.of(labels, superpixel_statistics(lab, labels, count))
        return smoothed, _painted(_against_background(values, regions, config), labels, count, config)
    if config.low_level:
        statistics = superpixel_statistics(lab, labels, count)
        contrast = low_level_map(statistics, k=config.distribution_k, sigma_color=config.color_sigma)
        return smoothed, _last(weighed(smoothed(), contrast, labels, config.alpha, count), config)
    return smoothed, _last(smoothed(), config)


def _painted(values: np.ndarray, labels: np.ndarray, count: int, config: PostConfig) -> np.ndarray:
    """Return final maps of superpixels' values [B,n], 0 to 1: finished before they are painted, where pixels add nothing."""
    if config.normalization in ("minmax", "linf") and config.final_prune != "soft":
        return paint(_finished(single_row(values), config).reshape(values.shape), labels, count)
    return _last(paint(values, labels, count), config)


def _last(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    return _finished(normalize(maps, config.normalization), config)


def raw_map(delta: np.ndarray, config: PostConfig) -> np.ndarray:
    """Return the mean over channels of the difference, [B,H,W], scaled to a maximum of 1 (A 1.4 step 5, B 2.5)."""
    return raw_maps(delta, config.channel_normalization)[0]


def closed(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    """Return maps [B,H,W] dilated and eroded by a disk, whose radius is given for a 224-pixel map (A 3.2)."""
    radius = round(config.closing * maps.shape[2] / 224)
    return erode(dilate(maps, radius, "disk"), radius, "disk") if radius else maps


def _pruned(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    if config.prune == "otsu":
        return prune_hard(maps, config.otsu_factor)
    return _soft(maps, config) if config.prune == "soft" else maps


def _soft(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    return normalize(prune_share(maps, config.theta), config.normalization)


def _against_background(values: np.ndarray, regions: RegionGraph, config: PostConfig) -> np.ndarray:
    """Return the optimum [B,n] between the map's values as foreground weights and the weights of the background."""
    foreground = rescaled(values, regions.present)
    return rescaled(optimum(regions, foreground, background_weight(regions), config.affinity_floor), regions.present)


def _finished(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    if config.final_prune == "hard":
        return brighten(maps, config.gain, config.final_threshold)
    if config.final_prune == "sigmoid":
        return min_max(sigmoid(maps, config.steepness, config.middle))
    return _soft(maps, config) if config.final_prune == "soft" else maps
