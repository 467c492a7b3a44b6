"""Measuring how well a descent agrees with eager PyTorch's, on images kept beside the bundle."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ...errors import UnseeError
from ...kernels.eight_bits import to_levels
from ..bundles.descent_config import DescentConfig
from ..runtime.descender import Descender, State
from ..runtime.model_info import channels_first
from .levels import mean_difference, relative_error, within_one_level
from .probes import Shape, StoredProbe
from .report import LARGEST_EXCESS, Check, Parity, Speed

LIMITS = {"fp32": (1e-3, 0.005, 1.0), "fp16": (0.15, 0.15, 25.0)}
"""Largest relative L2 error of the gradient, largest share of pixels that are more than 1 level off, and drift in levels
that is always allowed, by precision of the layers."""
GRADIENT = "relative L2 error of the gradient"
PIXELS = "share of pixels more than 1 level off after one iteration"
DRIFT = "mean difference in levels after all iterations"
CLASSES = "images with another top-1 class"

Finish = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From the difference, float32 [B,3,S,S], and the images, uint8 [B,S,S,3], to maps, float [B,S,S] in 0..1."""

Opener = Callable[[DescentConfig], Descender]


@dataclass(frozen=True)
class Probe(StoredProbe):
    """Images and what eager PyTorch made of them.

    images: uint8 [B,S,S,3]. halfway: float32 [B,3,S,S], the images after half of the iterations. updates: float32
    [2,B,3,S,S], the change that one iteration makes to either, over its step size, computed in double precision.
    first_maps, maps: uint8 [B,S,S], finished after one and after all iterations. logits: float32 [B,N]. targets: int64
    [B]. gradient_error, repeatability: PyTorch's own rounding errors in float32, as `measure` compares with.
    """

    arrays: ClassVar[Mapping[str, tuple[str, Shape]]] = {
        "images": ("uint8", ("B", "S", "S", 3)),
        "halfway": ("float32", ("B", 3, "S", "S")),
        "updates": ("float32", (2, "B", 3, "S", "S")),
        "first_maps": ("uint8", ("B", "S", "S")),
        "maps": ("uint8", ("B", "S", "S")),
        "logits": ("float32", ("B", "N")),
        "targets": ("int64", ("B",)),
    }
    images: np.ndarray
    halfway: np.ndarray
    updates: np.ndarray
    first_maps: np.ndarray
    maps: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    gradient_error: float
    repeatability: float
    images_per_second: float


def make_probe(
    images: np.ndarray, config: DescentConfig, eager: Opener, other: Opener, exact: Opener, finish: Finish
) -> Probe:
    """Run eager PyTorch on images, uint8 [B,S,S,3].

    eager, other, exact: open it with a configuration, in two memory formats and in double precision.
    """
    descender = eager(config)
    descender.descend(images, 1)
    descent, seconds = _timed(descender, images)
    maps = to_levels(finish(descent.delta, images))
    again = to_levels(finish(other(config).descend(images).delta, images))
    halfway = channels_first(images) - descender.descend(images, _half(config)).delta
    start = (images, halfway, descent.logits, descent.targets, config)
    updates = _updates(*start, exact)
    if np.median(np.abs(updates[0]).max((1, 2, 3))) == 0:
        raise UnseeError("the gradient of most probe images is zero: there is nothing to compare; use other images")
    return Probe(
        images=images,
        halfway=halfway,
        updates=updates,
        first_maps=to_levels(finish(descender.descend(images, 1).delta, images)),
        maps=maps,
        logits=descent.logits,
        targets=descent.targets,
        gradient_error=_gradient_error(_updates(*start, eager), updates),
        repeatability=mean_difference(again, maps),
        images_per_second=len(images) / seconds,
    )


def measure(probe: Probe, config: DescentConfig, opened: Opener, finish: Finish, precision: str = "fp32") -> Parity:
    """Compare descenders that `opened` opens with a probe made with the same configuration and `finish`.

    Checked are: the relative L2 distance from double precision of an image's update, median over images, the larger one
    of the original and the halfway images (where two elements of a pool's window are equal but for rounding, chance says
    which gets the window's gradient); the 8-bit maps finished after one iteration; those finished after all iterations,
    which multiply rounding errors; and the top-1 classes. Where PyTorch's own rounding error, in another memory format, is
    large, so is the limit.
    """
    descender, images = opened(config), probe.images
    if not ((probe.targets >= 0) & (probe.targets < len(descender.info.labels))).all():
        raise UnseeError("the probe's targets are no classes of the network: export it again")
    first = descender.descend(images, 1)
    descent, seconds = _timed(descender, images)
    updates = _updates(images, probe.halfway, probe.logits, probe.targets, config, opened)
    largest_error, largest_share, usual_drift = LIMITS[precision]
    apart = 1 - within_one_level(to_levels(finish(first.delta, images)), probe.first_maps)
    drift = mean_difference(to_levels(finish(descent.delta, images)), probe.maps)
    checks = (
        Check(
            GRADIENT,
            _gradient_error(updates, probe.updates),
            max(largest_error, LARGEST_EXCESS * probe.gradient_error),
        ),
        Check(PIXELS, apart, largest_share),
        Check(DRIFT, drift, max(usual_drift, LARGEST_EXCESS * probe.repeatability)),
        Check(CLASSES, float((descent.targets != probe.targets).sum()), 0),
    )
    info = descender.info
    speed = Speed(len(images) / seconds, probe.images_per_second, info.backend, info.device)
    return Parity(checks, len(images), speed)


def raw_map(delta: np.ndarray, _images: np.ndarray) -> np.ndarray:
    """Return the mean over channels of the difference [B,3,S,S], scaled to 0..1 per image: a finish without clean-up."""
    mean = delta.mean(1)
    low = mean.min((1, 2), keepdims=True)
    extent = mean.max((1, 2), keepdims=True) - low
    return (mean - low) / np.where(extent > 0, extent, 1)


def _updates(
    images: np.ndarray,
    halfway: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    config: DescentConfig,
    opened: Opener,
) -> np.ndarray:
    """Return [2,B,3,S,S]: the change over its step size of one iteration on the original and on the halfway images.

    The step is large where nothing clips it, so that adding it to the pixels rounds little off.
    """
    descender = opened(replace(config, step=config.step if config.clip else 1e6))
    changes = []
    for image, first in ((channels_first(images), 0), (halfway, _half(config))):
        moved = descender.advance(State(image, logits, targets), 1, first).image
        changes.append((image - moved) / np.float32(descender.config.step_at(first)))
    return np.stack(changes)


def _gradient_error(updates: np.ndarray, expected: np.ndarray) -> float:
    return max(float(np.median(relative_error(*pair))) for pair in zip(updates, expected, strict=True))


def _half(config: DescentConfig) -> int:
    return max(1, config.iterations // 2)


def _timed(descender: Descender, images: np.ndarray) -> tuple[Any, float]:
    started = time.perf_counter()
    descent = descender.descend(images)
    return descent, time.perf_counter() - started
