"""Measuring how well a map network agrees with eager PyTorch."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..runtime.mapper import Mapper
from .probes import Shape, StoredProbe
from .report import LARGEST_EXCESS, Check, Parity, Speed

LARGEST_DIFFERENCE = 2 / 255
"""How far a pixel of a map in 0..1 may be off where PyTorch's own rounding error is not more than half of it."""
LARGEST_MEAN = 0.1 / 255
"""How far pixels may be off on average, whatever PyTorch's rounding error."""
HALF_DIFFERENCE, HALF_MEAN = 8 / 255, 1 / 255
"""The same of networks in half precision, whose rounding is stretched with the map."""
LARGEST_QUANTIZED_MEAN = 4 / 255
"""How far pixels of a quantised network's maps may be off on average."""
PLAIN = "a plain script"
"""What the bundle of a network file is measured against."""
LARGEST = "largest difference of a pixel in levels"
MEAN = "mean difference of a pixel in levels"


@dataclass(frozen=True)
class MapProbe(StoredProbe):
    """Images and the maps that eager PyTorch made of them.

    images: uint8 [B,S,S,3]. maps: float32 [B,S,S] in 0..1, computed in double precision. eager_difference: how far a
    pixel is off at most in float32. priors: float32 [B,S,S], what a promoter promoted, else None.
    """

    arrays: ClassVar[Mapping[str, tuple[str, Shape]]] = {
        "images": ("uint8", ("B", "S", "S", 3)),
        "maps": ("float32", ("B", "S", "S")),
        "priors": ("float32", ("B", "S", "S")),
    }
    images: np.ndarray
    maps: np.ndarray
    eager_difference: float
    images_per_second: float
    priors: np.ndarray | None = None


def make_map_probe(eager: Mapper, exact: Mapper, images: np.ndarray, priors: np.ndarray | None) -> MapProbe:
    """Run eager PyTorch, in float32 and in double precision, on images and for a promoter on their priors.

    images: uint8 [B,S,S,3]. priors: float32 [B,S,S].
    """
    maps, seconds = _timed(eager, images, priors)
    expected = exact.maps(images, priors)
    return MapProbe(images, expected, float(np.abs(maps - expected).max()), len(images) / seconds, priors)


def plain_probe(images: np.ndarray, maps_of: Callable[[np.ndarray], np.ndarray]) -> MapProbe:
    """Return what a plain script makes of images, uint8 [B,S,S,3]: maps float32 [B,S,S], which are taken for exact."""
    started = time.perf_counter()
    maps = maps_of(images)
    return MapProbe(images, maps, 0.0, len(images) / (time.perf_counter() - started))


def measure_maps(probe: MapProbe, mapper: Mapper) -> Parity:
    """Compare a mapper with a probe: the largest and the mean difference of a pixel from PyTorch in double precision, or
    from what a plain script made with the file that a network came as.

    Attention with large logits picks one position, and where two are equal but for rounding, chance says which: the largest
    difference may be twice PyTorch's own.
    """
    if mapper.info.device != "cpu":
        mapper.maps(probe.images, probe.priors)  # the first batch chooses algorithms
    maps, seconds = _timed(mapper, probe.images, probe.priors)
    difference = np.abs(maps - probe.maps)
    largest = float(np.where(np.isfinite(difference), difference, np.inf).max())
    precision = mapper.info.precision
    means = {"int8": LARGEST_QUANTIZED_MEAN, "fp16": HALF_MEAN}
    checks = [Check(MEAN, 255 * float(difference.mean()), 255 * means.get(precision, LARGEST_MEAN))]
    if precision != "int8":  # of 8 bits some pixel is always far off
        limit = HALF_DIFFERENCE if precision == "fp16" else LARGEST_DIFFERENCE
        limit = max(limit, LARGEST_EXCESS * probe.eager_difference)
        checks.insert(0, Check(LARGEST, 255 * largest, 255 * limit))
    speed = Speed(len(maps) / seconds, probe.images_per_second, mapper.info.backend, mapper.info.device)
    reference = PLAIN if "file" in mapper.metadata.provenance else Parity.reference
    return Parity(tuple(checks), len(maps), speed, reference)


def _timed(mapper: Mapper, images: np.ndarray, priors: np.ndarray | None) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    maps = mapper.maps(images, priors)
    return maps, time.perf_counter() - started
