"""From the descended difference to the finished map, on the network's grid (spec sections 2.2, 2.5, 5.9)."""

from dataclasses import dataclass

import numpy as np

from ...kernels.background import background_weight, optimum
from ...kernels.color import rgb_to_lab
from ...kernels.contrast import low_level_map
from ...kernels.morphology import dilate, erode
from ...kernels.pooling import SuperpixelStatistics, paint, rescaled, superpixel_statistics, superpixel_values
from ...kernels.prune import min_max, normalize, prune_hard, prune_soft
from ...kernels.region_graph import RegionGraph
from ...kernels.slic import slic_lab
from .presets import PostConfig


@dataclass(frozen=True)
class Maps:
    """The map after each stage, float32 [B,H,W].

    magnitude: float32 [B], the largest change of a pixel in grey levels (mean over channels). diverged: bool [B], the
    difference was not finite; its maps are zero.
    """

    raw: np.ndarray
    pruned: np.ndarray
    smoothed: np.ndarray
    final: np.ndarray
    magnitude: np.ndarray
    diverged: np.ndarray


def finish(delta: np.ndarray, images: np.ndarray, config: PostConfig) -> Maps:
    """Turn differences [B,3,H,W] (grey levels) and images (uint8 [B,H,W,3]) into maps, each image on its own.

    raw: mean over channels, scaled. pruned: small values removed. smoothed: superpixel means (B4). final: weighed by
    the low-level map (B6) or held against the background (spec 5.9), pruned and scaled again, dilated and eroded. A
    zero difference gives zero maps.
    """
    diverged = np.logical_not(np.isfinite(delta).all((1, 2, 3)))
    delta = np.where(diverged[:, None, None, None], np.float32(0), delta)
    magnitude = delta.mean(1).max((1, 2), initial=0)
    raw = raw_map(delta, config)
    pruned = _pruned(raw, config)
    smoothed, refined = _on_superpixels(pruned, images, config) if config.segments else (pruned, pruned)
    refined = normalize(refined, config.normalization)
    return Maps(raw, pruned, smoothed, closed(_finished(refined, config), config), magnitude, diverged)


def _on_superpixels(pruned: np.ndarray, images: np.ndarray, config: PostConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the smoothed and the refined maps, the latter not yet scaled."""
    lab = rgb_to_lab(images)
    labels = slic_lab(lab, config.segments, config.compactness, config.smallest_superpixel)
    values = superpixel_values(pruned, labels)
    smoothed = normalize(paint(values, labels), config.normalization)
    if config.background:
        regions = RegionGraph.of(labels, superpixel_statistics(lab, labels))
        return smoothed, paint(_against_background(values, regions, config), labels)
    if config.low_level:
        return smoothed, smoothed * _low_level_weight(superpixel_statistics(lab, labels), labels, config)
    return smoothed, smoothed


def raw_map(delta: np.ndarray, config: PostConfig) -> np.ndarray:
    """Return the mean over channels of the difference, [B,H,W], scaled to a maximum of 1 (A 1.4 step 5, B 2.5)."""
    if config.channel_normalization:
        batch, channels, height, width = delta.shape
        flat = min_max(delta.reshape(batch * channels, height, width))
        delta = flat.reshape(batch, channels, height, width)
    return normalize(delta.mean(1), "linf")


def closed(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    """Return maps [B,H,W] dilated and eroded by a disk, whose radius is given for a 224-pixel map (A 3.2)."""
    radius = round(config.closing * maps.shape[2] / 224)
    return erode(dilate(maps, radius, "disk"), radius, "disk") if radius else maps


def _pruned(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    if config.prune == "otsu":
        return prune_hard(maps, config.otsu_factor)
    return _soft(maps, config) if config.prune == "soft" else maps


def _soft(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    theta = config.theta * maps.max((1, 2), initial=0)
    return normalize(prune_soft(maps, theta), config.normalization)


def _low_level_weight(statistics: SuperpixelStatistics, labels: np.ndarray, config: PostConfig) -> np.ndarray:
    values = low_level_map(statistics, k=config.distribution_k, sigma_color=config.color_sigma)
    return np.float32(config.alpha) + paint(values, labels)


def _against_background(values: np.ndarray, regions: RegionGraph, config: PostConfig) -> np.ndarray:
    """Return the optimum [B,n] between the map's values as foreground weights and the weights of the background."""
    foreground = rescaled(values, regions.present)
    return rescaled(optimum(regions, foreground, background_weight(regions), config.affinity_floor), regions.present)


def _finished(maps: np.ndarray, config: PostConfig) -> np.ndarray:
    if config.final_prune == "hard":
        brightened = np.minimum(np.float32(config.gain) * maps, 1)
        return np.where(brightened > config.final_threshold, brightened, np.float32(0))
    if config.final_prune == "sigmoid":
        return min_max(1 / (1 + np.exp(np.float32(config.steepness) * (np.float32(config.middle) - maps))))
    return _soft(maps, config) if config.final_prune == "soft" else maps
