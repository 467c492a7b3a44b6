"""Measuring how well a session agrees with eager PyTorch, on images kept beside the bundle."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import UnseeError, VerificationError
from .config import DescentConfig
from .probes import Shape, StoredProbe

if TYPE_CHECKING:
    from .sessions import SteppingSession

LIMITS = {"fp32": (1e-3, 0.995, 1.0), "fp16": (0.15, 0.85, 25.0)}
"""Largest relative L2 error of the gradient, least share of pixels within 1 level, and drift in levels that is always
allowed, by precision of the layers."""
LARGEST_EXCESS = 2.0
"""How many times PyTorch's own rounding error a session's may be where that is above the plain limit."""

Finish = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From the difference, float32 [B,3,S,S], and the images, uint8 [B,S,S,3], to maps, float [B,S,S] in 0..1."""

Opener = Callable[[DescentConfig], "SteppingSession"]


@dataclass(frozen=True)
class Probe(StoredProbe):
    """Images and what eager PyTorch made of them.

    images: uint8 [B,S,S,3]. halfway: float32 [B,3,S,S], the images after half of the iterations. updates: float32
    [2,B,3,S,S], the change that one iteration makes to either, over its step size, computed in double precision.
    first_maps, maps: uint8 [B,S,S], finished after one and after all iterations. logits: float32 [B,N]. targets: int64
    [B]. gradient_error, repeatability: PyTorch's own rounding errors in float32, as those of `Parity`.
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


@dataclass(frozen=True)
class Parity:
    """How a session agrees with eager PyTorch, and how fast each was.

    gradient_error, eager_gradient_error: relative L2 distance from double precision of an image's update, by this
    session and by eager PyTorch in float32; median over images, the larger one of the original and the halfway images.
    Where two elements of a pool's window are equal but for rounding, chance says which gets the window's gradient.
    within_one_level: share of the pixels of 8-bit maps, finished after one iteration, that differ by 1 level at most.
    drift, repeatability: mean difference in levels of maps finished after all iterations, of this session and of eager
    PyTorch in another memory format: the descent multiplies rounding errors. same_targets: whether all top-1 classes
    agree.
    """

    gradient_error: float
    eager_gradient_error: float
    within_one_level: float
    drift: float
    repeatability: float
    same_targets: bool
    images: int
    images_per_second: float
    eager_images_per_second: float
    backend: str
    device: str
    precision: str = "fp32"

    @property
    def holds(self) -> bool:
        """Whether the session may be used instead of eager PyTorch."""
        largest_error, least_share, usual_drift = LIMITS[self.precision]
        return (
            self.gradient_error <= max(largest_error, LARGEST_EXCESS * self.eager_gradient_error)
            and self.within_one_level >= least_share
            and self.drift <= max(usual_drift, LARGEST_EXCESS * self.repeatability)
            and self.same_targets
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report for a person, a line each."""
        return [
            f"gradient: relative L2 error {self.gradient_error:.1e} from double precision "
            f"({self.eager_gradient_error:.1e} by PyTorch in float32)",
            f"maps of one iteration: {self.within_one_level:.3%} of pixels within 1 level "
            f"(at least {LIMITS[self.precision][1]:.1%}) on {self.images} images",
            f"maps of all iterations: {self.drift:.2f} levels apart on average "
            f"({self.repeatability:.2f} between two memory formats of PyTorch itself)",
            f"top-1 classes: {'the same' if self.same_targets else 'DIFFERENT'}",
            f"speed: {self.images_per_second:.2f} images/s with {self.backend} on {self.device}, "
            f"{self.eager_images_per_second:.2f} with eager PyTorch when exported",
        ]

    def require(self, what: object) -> None:
        """Raise `VerificationError` unless the parity holds."""
        if not self.holds:
            raise VerificationError(f"{what} does not agree with PyTorch: {'; '.join(self.lines()[:4])}")


def make_probe(
    images: np.ndarray, config: DescentConfig, eager: Opener, other: Opener, exact: Opener, finish: Finish
) -> Probe:
    """Run eager PyTorch on images, uint8 [B,S,S,3].

    eager, other, exact: open its session with a configuration, in two memory formats and in double precision.
    """
    session = eager(config)
    session.descend(images, 1)
    descent, seconds = _timed(session, images)
    maps = to_levels(finish(descent.delta, images))
    again = to_levels(finish(other(config).descend(images).delta, images))
    halfway = _channels_first(images) - session.descend(images, _half(config)).delta
    start = (images, halfway, descent.logits, descent.targets, config)
    updates = _updates(*start, exact)
    if np.median(np.abs(updates[0]).max((1, 2, 3))) == 0:
        raise UnseeError("the gradient of most probe images is zero: there is nothing to compare; use other images")
    return Probe(
        images=images,
        halfway=halfway,
        updates=updates,
        first_maps=to_levels(finish(session.descend(images, 1).delta, images)),
        maps=maps,
        logits=descent.logits,
        targets=descent.targets,
        gradient_error=_gradient_error(_updates(*start, eager), updates),
        repeatability=mean_difference(again, maps),
        images_per_second=len(images) / seconds,
    )


def measure(probe: Probe, config: DescentConfig, opened: Opener, finish: Finish, precision: str = "fp32") -> Parity:
    """Compare sessions that `opened` opens with a probe made with the same configuration and `finish`."""
    session, images = opened(config), probe.images
    if not ((probe.targets >= 0) & (probe.targets < len(session.info.labels))).all():
        raise UnseeError("the probe's targets are no classes of the network: export it again")
    first = session.descend(images, 1)
    descent, seconds = _timed(session, images)
    updates = _updates(images, probe.halfway, probe.logits, probe.targets, config, opened)
    return Parity(
        gradient_error=_gradient_error(updates, probe.updates),
        eager_gradient_error=probe.gradient_error,
        within_one_level=within_one_level(to_levels(finish(first.delta, images)), probe.first_maps),
        drift=mean_difference(to_levels(finish(descent.delta, images)), probe.maps),
        repeatability=probe.repeatability,
        same_targets=bool(np.array_equal(descent.targets, probe.targets)),
        images=len(images),
        images_per_second=len(images) / seconds,
        eager_images_per_second=probe.images_per_second,
        backend=session.info.backend,
        device=session.info.device,
        precision=precision,
    )


def relative_error(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return |actual - expected| / |expected| (L2) of every image, float64 [B]; two equal images have 0."""
    axes = tuple(range(1, expected.ndim))
    distance = np.sqrt(np.square(actual - expected, dtype=np.float64).sum(axes))
    length = np.sqrt(np.square(expected, dtype=np.float64).sum(axes))
    return np.where(distance > 0, distance / np.maximum(length, 1e-300), 0)


def mean_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the mean difference between 8-bit maps in levels."""
    return float(np.abs(actual.astype(np.int16) - expected).mean())


def within_one_level(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the share of pixels of 8-bit maps that differ by 1 level at most."""
    return float((np.abs(actual.astype(np.int16) - expected) <= 1).mean())


def to_levels(maps: np.ndarray) -> np.ndarray:
    """Return maps of 0..1 in 8-bit levels; values beyond are cut to the nearest level, and what is no number is 0."""
    return np.rint(np.nan_to_num(np.clip(maps, 0, 1)) * 255).astype(np.uint8)


def raw_map(delta: np.ndarray, _images: np.ndarray) -> np.ndarray:
    """Return the mean over channels of the difference [B,3,S,S], scaled to 0..1 per image: a finish without clean-up."""
    mean = delta.mean(1)
    low = mean.min((1, 2), keepdims=True)
    extent = mean.max((1, 2), keepdims=True) - low
    return (mean - low) / np.where(extent > 0, extent, 1)


def synthetic_images(size: int, count: int = 4) -> np.ndarray:
    """Return images, uint8 [count,size,size,3], of blurred noise at several scales: probes where there are no others."""
    generator = np.random.default_rng(0)
    total = np.zeros((count, size, size, 3))
    for cells in (3, 8, 21, 55):
        coarse = generator.random((count, cells, cells, 3))
        index = np.arange(size) * cells // size
        total += coarse[:, index][:, :, index] * generator.random((count, 1, 1, 3))
    noise = generator.random((count, size, size, 3)) * 0.1  # without it, flat areas would be full of equal maxima
    return np.rint((total / total.max((1, 2, 3), keepdims=True) * 0.9 + noise) * 255).astype(np.uint8)


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
    from .sessions import State

    session = opened(replace(config, step=config.step if config.clip else 1e6))
    changes = []
    for image, first in ((_channels_first(images), 0), (halfway, _half(config))):
        moved = session.advance(State(image, logits, targets), 1, first).image
        changes.append((image - moved) / np.float32(session.config.step_at(first)))
    return np.stack(changes)


def _gradient_error(updates: np.ndarray, expected: np.ndarray) -> float:
    return max(float(np.median(relative_error(*pair))) for pair in zip(updates, expected, strict=True))


def _half(config: DescentConfig) -> int:
    return max(1, config.iterations // 2)


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


def _timed(session: "SteppingSession", images: np.ndarray) -> tuple[Any, float]:
    started = time.perf_counter()
    descent = session.descend(images)
    return descent, time.perf_counter() - started
